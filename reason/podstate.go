package reason

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Finished reports whether all containers of the pod have ended for good.
func Finished(pod *corev1.Pod) bool { return FinishedIn(pod.Status.Phase) }

// FinishedIn reports whether a pod in that phase has ended for good.
func FinishedIn(phase corev1.PodPhase) bool {
	return phase == corev1.PodFailed || phase == corev1.PodSucceeded
}

// Vanishing reports whether any update of the object would delete it: its deletion timestamp is
// set, its grace period is 0 and no finalizer holds it (k8s.io/apiserver v0.37
// pkg/registry/generic/registry/store.go, deleteWithoutFinalizers).
func Vanishing(o metav1.Object) bool {
	return o.GetDeletionTimestamp() != nil && len(o.GetFinalizers()) == 0 && Graceless(o)
}

// Graceless reports whether the object, once deleted, has no time left.
func Graceless(o metav1.Object) bool {
	grace := o.GetDeletionGracePeriodSeconds()
	return grace == nil || *grace == 0
}
