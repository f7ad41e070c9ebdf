package obituary

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// atOnce is how far a pod's start and its refusal may be apart and still be one moment, in which no
// container ran and no kubelet was restarted: a starting kubelet looks for its pods once it knows
// its node, which it checks each second (K8s v1.37 pkg/kubelet/config, WaitForAPIServerSyncPeriod).
// The start is by the clock of the node, the refusal by that of the API server; both are whole
// seconds. A busy kubelet writes later, and then it cannot be told.
const atOnce = time.Second

// RefusedAtOnce reports whether the kubelet refused the pod when it first saw it. A refusal leaves
// only phase, reason, message and startTime in the status. startTime is when the kubelet first saw
// the pod, and does not change (K8s v1.37 pkg/kubelet rejectPod, status/status_manager.go
// updateStatusInternal). So a pod that ran until its kubelet was restarted, and was refused then
// (kubernetes/kubernetes#125579), had started long before this status was written. If in doubt, the
// answer is no.
func RefusedAtOnce(pod *corev1.Pod) bool {
	started, s := pod.Status.StartTime, pod.Status
	written := writtenByKubelet(pod)
	return s.Phase == corev1.PodFailed && s.Reason != "" && started != nil && written != nil &&
		len(s.InitContainerStatuses)+len(s.ContainerStatuses)+
			len(s.EphemeralContainerStatuses) == 0 && s.PodIP == "" &&
		strings.HasPrefix(s.Message, "Pod was rejected: ") &&
		written.Sub(started.Time).Abs() <= atOnce
}

// writtenByKubelet returns when the kubelet last wrote the status of the pod.
func writtenByKubelet(pod *corev1.Pod) (last *metav1.Time) {
	for _, f := range pod.ManagedFields {
		if f.Subresource == "status" && f.Manager == "kubelet" && f.Time != nil &&
			(last == nil || last.Before(f.Time)) {
			last = f.Time
		}
	}
	return last
}
