package obituary

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// maxConditionBytes is the bound of the CRD. The scheduler's message begins with its name, and is
// short.
const maxConditionBytes = 256

// PreemptionOf returns the facts that identify a pod's possible preemptor, if the reason names
// none, or one that is only supposed; otherwise nil.
func PreemptionOf(pod *corev1.Pod, r reason.Reason) *v1alpha1.Preemption {
	if !r.Supposed && !r.LacksPreemptor() {
		return nil
	}
	p := &v1alpha1.Preemption{Supposed: r.Supposed, Priority: ptr.Deref(pod.Spec.Priority, 0)}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Reason == corev1.PodReasonPreemptionByScheduler {
			p.Condition = reason.CleanTo(c.Message, maxConditionBytes)
		}
	}
	return p
}

// Preempted rebuilds the pod from an obituary with a [v1alpha1.Preemption], as far as its preemptor
// depends on it, and returns the recorded reason.
func Preempted(o *v1alpha1.PodObituary) (*corev1.Pod, reason.Reason) {
	told := o.Spec.Removed
	if asked := o.Spec.DeletionRequested; asked != nil {
		told = *asked
	}
	p := o.Spec.Preemption
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.Namespace, Name: o.Spec.PodName, UID: o.Spec.PodUID,
			CreationTimestamp: o.Spec.Created,
			DeletionTimestamp: &told, DeletionGracePeriodSeconds: ptr.To(int64(0)),
		},
		Spec: corev1.PodSpec{NodeName: o.Spec.NodeName, Priority: &p.Priority},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: corev1.PodReasonPreemptionByScheduler, Message: p.Condition,
			LastTransitionTime: told,
		}}},
	}
	return pod, reason.Reason{
		Code: reason.Code(o.Spec.Code), Text: reason.Text(o.Spec.Reason), By: o.Spec.By,
		Supposed: p.Supposed,
	}
}
