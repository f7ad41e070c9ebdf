package webhook

import (
	"fmt"
	"strconv"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Names of the webhook configuration and of the webhooks in it. Each resource has its own, so that the API server's own metrics,
// which know no resource, tell them apart.
const (
	ConfigurationName      = "epitaph"
	PodsWebhook            = "pods.epitaph-k8s.io"
	SystemPodsWebhook      = "system-pods.epitaph-k8s.io"
	NodesWebhook           = "nodes.epitaph-k8s.io"
	EvictionsWebhook       = "evictions.epitaph-k8s.io"
	SystemEvictionsWebhook = "system-evictions.epitaph-k8s.io"
	CreationsWebhook       = "creations.epitaph-k8s.io"
)

// Registration returns the webhook configuration that belongs to c; at says how the API server reaches the webhook.
//
// The deletions and evictions of pods in the namespaces that are never denied have webhooks of their own that fail open whatever the failure policy: what
// brings Epitaph back must be deletable while Epitaph is away. They are there also where nothing fails closed, since an entry that
// goes cannot be applied: cert-manager owns the caBundle in it, and the rest of the entry would be missing.
func Registration(c config.Config, at admissionregistrationv1.WebhookClientConfig) *admissionregistrationv1.MutatingWebhookConfiguration {
	pods := webhookFor(c.Webhook, PodsWebhook, admissionregistrationv1.Delete, "pods", at)
	pods.MatchConditions = podConditions(c.Annotations.Pod, Self(c.Namespace))
	nodes := webhookFor(c.Webhook, NodesWebhook, admissionregistrationv1.Delete, "nodes", at)
	evictions := webhookFor(c.Webhook, EvictionsWebhook, admissionregistrationv1.Create, "pods/eviction", at)
	creations := webhookFor(c.Webhook, CreationsWebhook, admissionregistrationv1.Create, "pods", at)
	creations.MatchConditions = []admissionregistrationv1.MatchCondition{carriesReason(c.Annotations.Pod)}
	// A pod that is created is never worth failing for our sake: what it carries is recognised at its end, too.
	creations.FailurePolicy = ptr.To(admissionregistrationv1.Ignore)

	exempt := append([]string{c.Namespace}, c.Webhook.NeverDeniedNamespaces...)
	system := pods
	system.Name = SystemPodsWebhook
	system.FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
	system.NamespaceSelector = namespaces(metav1.LabelSelectorOpIn, exempt)
	systemEvictions := evictions
	systemEvictions.Name = SystemEvictionsWebhook
	systemEvictions.FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
	systemEvictions.NamespaceSelector = system.NamespaceSelector
	pods.NamespaceSelector = namespaces(metav1.LabelSelectorOpNotIn, exempt)
	evictions.NamespaceSelector = pods.NamespaceSelector
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: ConfigurationName},
		Webhooks:   []admissionregistrationv1.MutatingWebhook{pods, nodes, evictions, creations, system, systemEvictions},
	}
}

// Self is the user that Epitaph's manager is, as the chart has it.
func Self(namespace string) string { return "system:serviceaccount:" + namespace + ":epitaph-manager" }

func webhookFor(c config.Webhook, name string, op admissionregistrationv1.OperationType, resource string, at admissionregistrationv1.WebhookClientConfig) admissionregistrationv1.MutatingWebhook {
	return admissionregistrationv1.MutatingWebhook{
		Name:                    name,
		ClientConfig:            at,
		AdmissionReviewVersions: []string{"v1"},
		SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNoneOnDryRun),
		FailurePolicy:           ptr.To(admissionregistrationv1.FailurePolicyType(c.FailurePolicy)),
		MatchPolicy:             ptr.To(admissionregistrationv1.Equivalent),
		ReinvocationPolicy:      ptr.To(admissionregistrationv1.NeverReinvocationPolicy),
		TimeoutSeconds:          ptr.To(int32((c.Timeout.Duration + time.Second - 1) / time.Second)),
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{op},
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource},
				Scope: ptr.To(admissionregistrationv1.AllScopes),
			},
		}},
	}
}

func namespaces(op metav1.LabelSelectorOperator, names []string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "kubernetes.io/metadata.name", Operator: op, Values: names},
	}}
}

// podConditions keep away from us what costs nothing then: pods that carry a valid and complete reason (so the retry after our
// own PATCH too), and pods in the second step of a delete without grace, on which nothing can be written any more. While the pod does
// not terminate, its mark has to name the user who asks, too: a deletion that was refused would speak for the next one otherwise, and
// what somebody claims on a pod of theirs would be all that is known. What we delete ourselves has all of that.
//
// The mark is split as [reason.ReadWritten] does it. A name that a mark cannot hold as it is has us asked once more, in vain.
func podConditions(keys reason.Keys, self string) []admissionregistrationv1.MatchCondition {
	text, code, by := annotation("oldObject", keys.Reason), annotation("oldObject", keys.Code), annotation("oldObject", keys.By)
	return []admissionregistrationv1.MatchCondition{
		{
			Name: "lacks-a-valid-reason",
			Expression: fmt.Sprintf("%[1]s.trim() == '' || %[2]s == '' || %[3]s == '' || bytes(%[1]s).size() > %[4]d || %[1]s.matches(%[5]s) || "+
				"!has(oldObject.metadata.deletionTimestamp) && request.userInfo.username != %[7]s && "+
				"%[6]s.split(' ', 3)[?2].orValue('') != request.userInfo.username",
				text, code, by, reason.MaxTextBytes, celRaw(reason.TextPattern), annotation("oldObject", reason.WrittenKey), strconv.Quote(self)),
		},
		{
			Name:       "can-still-be-written",
			Expression: "oldObject.metadata.?deletionGracePeriodSeconds.orValue(-1) != 0",
		},
	}
}

// carriesReason keeps away from us the creation of pods that carry no reason: all but a few.
func carriesReason(keys reason.Keys) admissionregistrationv1.MatchCondition {
	return admissionregistrationv1.MatchCondition{
		Name: "carries-a-reason",
		Expression: fmt.Sprintf("%s != '' || %s != '' || %s != ''",
			annotation("object", keys.Reason), annotation("object", keys.Code), annotation("object", keys.By)),
	}
}

// annotation is the CEL expression for the value of an object's annotation, "" where there is none.
func annotation(object, key string) string {
	return fmt.Sprintf("%s.metadata.?annotations[?%s].orValue('')", object, strconv.Quote(key))
}

// celRaw quotes a regular expression as a raw string of CEL.
func celRaw(pattern string) string { return "r'" + pattern + "'" }
