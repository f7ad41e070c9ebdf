package lookup

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Living returns what the record of a pod would be if it left now. Without a reason on it, it has
// neither code nor class.
func Living(pod *corev1.Pod, keys reason.Keys) *v1alpha1.PodObituary {
	r, _ := keys.OnPod(pod) // without a reason, it says nothing
	o := obituary.Of(pod, r, time.Time{})
	if r.IsZero() {
		o.Spec.Code, o.Spec.Class = "", ""
	}
	return o
}
