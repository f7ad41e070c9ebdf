package main

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// webhookAnswers asks the API server to create a pod that carries a reason, as a dry run: the webhook takes it off or refuses
// it, so that the answer tells whether the API server reaches the webhook and trusts it. Nothing is written.
func webhookAnswers(ctx context.Context, p *patient) []diagnosis {
	const what = "webhook answers"
	probe := probePod(p.namespace)
	err := p.Create(ctx, probe, client.DryRunAll)
	switch {
	case err == nil && reason.DefaultKeys().Pod.Has(probe.Annotations):
		return []diagnosis{{broken, what, "no: the API server let a pod pass that it should have shown to the webhook. It does not reach or not trust it (its log says \"failed open\"), or the cluster has annotation keys of its own"}}
	case err == nil:
		return []diagnosis{{well, what, "yes: the API server reaches it and trusts it"}}
	case strings.Contains(err.Error(), "failed calling webhook"):
		return []diagnosis{{broken, what, err.Error()}}
	case strings.Contains(err.Error(), "epitaph") && apierrors.IsForbidden(err) && strings.Contains(err.Error(), "denied the request"):
		return []diagnosis{{well, what, "yes: it refuses pods that are created with a reason"}}
	default:
		return []diagnosis{{unseen, what, "asked with a dry run of a pod in namespace " + p.namespace + ": " + err.Error()}}
	}
}

// probePod would be admitted anywhere, by the Pod Security Standard "restricted" too.
func probePod(namespace string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "epitaph-doctor-", Namespace: namespace,
			Annotations: map[string]string{reason.DefaultKeys().Pod.Reason: "kubectl epitaph doctor asks whether the webhook answers"},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                corev1.RestartPolicyNever,
			AutomountServiceAccountToken: ptr.To(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: "registry.invalid/never-pulled",
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}
