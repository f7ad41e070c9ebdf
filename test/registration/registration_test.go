package registration

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// configured is a configuration in which nothing is the default.
func configured() config.Config {
	c := config.Default()
	c.Namespace = "tools"
	c.Webhook.FailurePolicy = "Fail"
	c.Webhook.Timeout = metav1.Duration{Duration: 2500 * time.Millisecond}
	c.Webhook.NeverDeniedNamespaces = []string{"kube-system", "monitoring"}
	c.Annotations.Pod = reason.Keys{Reason: "example.com/why", Code: "example.com/code",
		By: "example.com/by"}
	return c
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	at := admissionregistrationv1.WebhookClientConfig{
		URL: ptr.To("https://127.0.0.1:1" + webhook.Path), CABundle: []byte("ca")}
	got, err := Of(configured(), at)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != webhook.ConfigurationName {
		t.Errorf("the configuration is called %q", got.Name)
	}
	var rows []string
	for _, w := range got.Webhooks {
		rows = append(rows, row(w))
		if diff := cmp.Diff(at, w.ClientConfig); diff != "" || *w.TimeoutSeconds != 3 ||
			*w.SideEffects != admissionregistrationv1.SideEffectClassNoneOnDryRun ||
			*w.MatchPolicy != admissionregistrationv1.Equivalent ||
			*w.ReinvocationPolicy != admissionregistrationv1.NeverReinvocationPolicy {
			t.Errorf("webhook %s: %+v (-want +got):\n%s", w.Name, w, diff)
		}
	}
	want := []string{
		"pods.epitaph-k8s.io DELETE pods Fail NotIn tools,kube-system,monitoring: lacks-a-valid-reason can-still-be-written",
		"nodes.epitaph-k8s.io DELETE nodes Fail:",
		"evictions.epitaph-k8s.io CREATE pods/eviction Fail NotIn tools,kube-system,monitoring:",
		"creations.epitaph-k8s.io CREATE pods Ignore: carries-a-reason",
		"system-pods.epitaph-k8s.io DELETE pods Ignore In tools,kube-system,monitoring: lacks-a-valid-reason can-still-be-written",
		"system-evictions.epitaph-k8s.io CREATE pods/eviction Ignore In tools,kube-system,monitoring:",
		"owners.epitaph-k8s.io DELETE namespaces DELETE deployments DELETE jobs DELETE workflows DELETE rayjobs DELETE sparkapplications DELETE pytorchjobs DELETE trainjobs DELETE jobsets DELETE leaderworkersets DELETE taskruns DELETE ephemeralrunners DELETE jobs DELETE clonesets DELETE appwrappers DELETE services DELETE nodeclaims Ignore: somebody-decides has-pods",
		"scalings.epitaph-k8s.io UPDATE replicationcontrollers UPDATE deployments UPDATE jobs Ignore: a-person-decides fewer-pods",
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("the webhooks (-want +got):\n%s", diff)
	}
}

func row(w admissionregistrationv1.MutatingWebhook) string {
	words := []string{w.Name}
	for _, r := range w.Rules {
		words = append(words, string(r.Operations[0]), r.Resources[0])
	}
	words = append(words, string(*w.FailurePolicy))
	if s := w.NamespaceSelector; s != nil {
		words = append(words, string(s.MatchExpressions[0].Operator),
			strings.Join(s.MatchExpressions[0].Values, ","))
	}
	text := strings.Join(words, " ") + ":"
	for _, c := range w.MatchConditions {
		text += " " + c.Name
	}
	return text
}

// What the API server evaluates must say what the program does: the same bounds, patterns, keys and
// user.
func TestConditionsSpeakOfTheProgram(t *testing.T) {
	t.Parallel()
	got, err := Of(configured(), admissionregistrationv1.WebhookClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	value := func(object, key string) string {
		return fmt.Sprintf("%s.metadata.?annotations[?%s].orValue('')", object, strconv.Quote(key))
	}
	text, code, by := value("oldObject", "example.com/why"), value("oldObject", "example.com/code"),
		value("oldObject", "example.com/by")
	lacks := text + ".trim() == '' || " + code + " == '' || " + by + " == '' || " +
		by + " == '" + reason.UnknownRemover + "' && " + value("oldObject", reason.WrittenKey) +
		" == '' || " +
		fmt.Sprintf("bytes(%s).size() > %d || %s.matches(r'%s') || ", text, reason.MaxTextBytes,
			text, reason.TextPattern) +
		"!has(oldObject.metadata.deletionTimestamp) && request.userInfo.username != " +
		strconv.Quote(webhook.Self("tools")) + " && " +
		value("oldObject", reason.WrittenKey) +
		".split(' ', 3)[?2].orValue('') != request.userInfo.username"
	carries := value("object", "example.com/why") + " != '' || " +
		value("object", "example.com/code") + " != '' || " + value("object", "example.com/by") +
		" != ''"
	want := map[string]string{
		"lacks-a-valid-reason": lacks,
		"can-still-be-written": "oldObject.metadata.?deletionGracePeriodSeconds.orValue(-1) != 0",
		"carries-a-reason":     carries,
		"somebody-decides": `request.userInfo.username == 'system:serviceaccount:kube-system:generic-garbage-collector' ? ` +
			`oldObject.metadata.?ownerReferences.orValue([]).exists(o, ` +
			`o.kind == 'NodePool' || o.?controller.orValue(false) && ` +
			`!(o.kind == 'Deployment' && o.apiVersion.startsWith('apps/'))) : ` +
			`!request.userInfo.username.startsWith('system:serviceaccount:kube-system:') && ` +
			`!request.userInfo.username.startsWith('system:kube-') && ` +
			`!request.userInfo.username.startsWith('system:node:')`,
		"has-pods": `request.resource.group == 'batch' ? request.resource.resource == 'cronjobs' || ` +
			`oldObject.?status.?active.orValue(0) > 0 : ` +
			`request.resource.group == 'apps' && request.resource.resource == 'daemonsets' ? ` +
			`oldObject.?status.?currentNumberScheduled.orValue(0) > 0 : ` +
			`request.resource.group == 'apps' || request.resource.resource == 'replicationcontrollers' ? ` +
			`oldObject.?status.?replicas.orValue(0) > 0 : true`,
		"a-person-decides": `!request.userInfo.username.startsWith('system:serviceaccount:') && ` +
			`!request.userInfo.username.startsWith('system:kube-') && ` +
			`!request.userInfo.username.startsWith('system:node:')`,
		"fewer-pods": `!has(object.metadata.deletionTimestamp) && ` +
			`(object.?spec.?replicas.orValue(0) < oldObject.?spec.?replicas.orValue(0) || ` +
			`object.?spec.?parallelism.orValue(0) < oldObject.?spec.?parallelism.orValue(0) || ` +
			`object.?spec.?suspend.orValue(false) && !oldObject.?spec.?suspend.orValue(false))`,
	}
	var seen []string
	for _, w := range got.Webhooks {
		for _, c := range w.MatchConditions {
			seen = append(seen, c.Name)
			if diff := cmp.Diff(want[c.Name], c.Expression); diff != "" {
				t.Errorf("condition %s of %s (-want +got):\n%s", c.Name, w.Name, diff)
			}
		}
	}
	if slices.Sort(seen); len(slices.Compact(seen)) != len(want) {
		t.Errorf("conditions %v are there", seen)
	}
}

// Where the webhook is switched off, the API server asks nobody.
func TestNothingIsRegisteredWhereTheWebhookIsOff(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Webhook.Enabled = false
	got, err := Of(c, admissionregistrationv1.WebhookClientConfig{})
	if err != nil || got.Name != "" || len(got.Webhooks) > 0 {
		t.Errorf("Of = %v, %v", got, err)
	}
}
