package webhook

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// maxDisruptedPods is how many evictions a budget may have unconfirmed: MaxDisruptedPodSize of
// k8s.io/kubernetes@v1.37.2/pkg/registry/core/pod/storage/eviction.go.
const maxDisruptedPods = 2000

// vanishes tells whether an eviction that goes through removes the pod at once, so that no
// terminating pod will be seen. The grace is that of the Eviction's DeleteOptions, else the spec's;
// a negative one counts as a second (k8s.io/kubernetes@v1.37.2/pkg/registry/core/pod/strategy.go,
// CheckGracefulDelete). A pod that terminates already ends sooner only if that is asked for
// (k8s.io/apiserver@v0.37.2/pkg/registry/rest/delete.go, BeforeDelete).
func vanishes(pod *corev1.Pod, asked *int64) bool {
	if pod.DeletionTimestamp != nil {
		return ptr.Deref(pod.DeletionGracePeriodSeconds, 0) == 0 || asked != nil && *asked == 0
	}
	if pod.Spec.NodeName == "" || reason.Finished(pod) {
		return true
	}
	if asked == nil {
		asked = pod.Spec.TerminationGracePeriodSeconds
	}
	return ptr.Deref(asked, 0) == 0
}

// met tells whether the pod is the one that is meant, in the version that is meant.
func met(pod *corev1.Pod, only metav1.Preconditions) bool {
	return (only.UID == nil || *only.UID == pod.UID) &&
		(only.ResourceVersion == nil || *only.ResourceVersion == pod.ResourceVersion)
}

// skipsBudgets tells whether the API server evicts the pod without asking a disruption budget:
// canIgnorePDB of k8s.io/kubernetes@v1.37.2/pkg/registry/core/pod/storage/eviction.go.
func skipsBudgets(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodPending || reason.Finished(pod) ||
		pod.DeletionTimestamp != nil
}

// budgetsRefuse predicts what the API server will say of a pod that it asks the disruption budgets
// of the namespace for. It follows Create and checkAndDecrement of
// k8s.io/kubernetes@v1.37.2/pkg/registry/core/pod/storage/eviction.go.
func budgetsRefuse(pod *corev1.Pod, all []policyv1.PodDisruptionBudget) bool {
	var covering *policyv1.PodDisruptionBudget
	for n := range all {
		selector, err := metav1.LabelSelectorAsSelector(all[n].Spec.Selector)
		if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
			continue // What is invalid covers nothing, there too.
		}
		if covering != nil {
			return true // Two budgets are an error 500.
		}
		covering = &all[n]
	}
	if covering == nil {
		return false
	}
	b := covering.Status
	if !ready(pod) {
		policy := ptr.Deref(covering.Spec.UnhealthyPodEvictionPolicy, policyv1.IfHealthyBudget)
		if policy == policyv1.AlwaysAllow || b.CurrentHealthy >= b.DesiredHealthy &&
			b.DesiredHealthy > 0 {
			return false
		}
	}
	return b.ObservedGeneration < covering.Generation || len(b.DisruptedPods) > maxDisruptedPods ||
		b.DisruptionsAllowed <= 0
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
