package doctor

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// webhookAnswers asks the API server to create a pod that carries a reason, as a dry run: the
// webhook takes it off or refuses it, so that the answer tells whether the API server reaches the
// webhook and trusts it. Nothing is written.
func webhookAnswers(ctx context.Context, p *patient) []Diagnosis {
	const what = "webhook answers"
	if p.off {
		return nil // There is no webhook, which has been reported.
	}
	key := p.webhooks.reasonKey()
	probe := probePod(p.Namespace, key)
	err := p.Create(ctx, probe, client.DryRunAll)
	_, untouched := probe.Annotations[key]
	switch {
	case err == nil && untouched:
		return []Diagnosis{
			{Broken, what,
				"no: the API server let a pod pass that it should have shown to the webhook, which it does not reach or not trust. " + p.consequence(ctx)}}
	case err == nil:
		return []Diagnosis{{Well, what, "yes: the API server reaches it and trusts it"}}
	case isUncalled(err):
		return []Diagnosis{{Broken, what, "no: " + err.Error() + ". " + p.consequence(ctx)}}
	case strings.Contains(err.Error(), "epitaph") && apierrors.IsForbidden(err) &&
		strings.Contains(err.Error(), "denied the request"):
		return []Diagnosis{{Well, what, "yes: it refuses pods that are created with a reason"}}
	default:
		return []Diagnosis{{Unseen, what, "asked with a dry run of a pod in namespace " +
			p.Namespace + ": " + err.Error()}}
	}
}

// consequence says what it means that the webhook does not answer, and why that is where the API
// server says so.
func (p *patient) consequence(ctx context.Context) string {
	closed := p.webhooks.closed()
	if closed == nil {
		return `Until it does, what is deleted leaves without a reason of Epitaph's. Why it does not, the API server's log says ("failed open")`
	}
	found := "Until it does, these fail: " + strings.Join(closed, ", ") + " (failurePolicy: Fail)"
	if why := p.whyUncalled(ctx); why != "" {
		found += ". The API server says: " + why
	}
	return found
}

// whyUncalled is what the API server says of a webhook that it must not do without: that for
// evictions, which it asks before it looks for the pod. There is no pod of that name, and it is a
// dry run.
func (p *patient) whyUncalled(ctx context.Context) string {
	if w := p.webhooks.named(evictionsWebhook); w == nil || !failsClosed(*w) {
		return ""
	}
	nobody := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace,
		Name: "epitaph-doctor-nobody"}}
	err := p.SubResource("eviction").Create(ctx, nobody,
		&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: nobody.Name}}, client.DryRunAll)
	if !isUncalled(err) {
		return ""
	}
	return err.Error()
}

// isUncalled reports whether the API server could not call a webhook that fails closed.
func isUncalled(err error) bool {
	return err != nil && strings.Contains(err.Error(), "failed calling webhook")
}

// probePod would be admitted anywhere, by the Pod Security Standard "restricted" too.
func probePod(namespace, reasonKey string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "epitaph-doctor-", Namespace: namespace,
			Annotations: map[string]string{
				reasonKey: "kubectl epitaph doctor asks whether the webhook answers"},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                corev1.RestartPolicyNever,
			AutomountServiceAccountToken: ptr.To(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true),
				SeccompProfile: &corev1.SeccompProfile{
					Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: "registry.invalid/never-pulled",
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: ptr.To(false),
					Capabilities: &corev1.Capabilities{
						Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}
