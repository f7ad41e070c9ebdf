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

// PreemptionOf is what tells for which pod a pod can have been preempted, where its reason names
// none, or one that is only supposed.
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

// Preempted is the pod that an obituary with a [v1alpha1.Preemption] is of, as far as the record
// tells what it can have been preempted for, and the reason that the record has.
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
