package lookup

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Living returns the record that a pod would have if it left now. Without a reason on the pod, the
// record has neither code nor class.
func Living(pod *corev1.Pod, keys reason.Keys) *v1alpha1.PodObituary {
	r, _ := keys.OnPod(pod) // the zero Reason if there is none
	o := obituary.Of(pod, r, time.Time{})
	o.Labels = obituary.Labels(pod.Labels, func(string) bool { return true })
	if r.IsZero() {
		o.Spec.Code, o.Spec.Class = "", ""
	}
	return o
}
