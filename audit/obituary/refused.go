package obituary

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// atOnce is how far a pod's start and its refusal may be apart and still be one moment: a kubelet writes statuses every 10 s at the latest
// (K8s v1.37 pkg/kubelet/status, syncPeriod). The first is by the clock of the node, the second by that of the API server.
const atOnce = 15 * time.Second

// RefusedAtOnce tells whether the kubelet refused the pod when it first saw it. A refusal leaves nothing of the status but phase, reason,
// message and startTime, which is that of the first time that the kubelet saw the pod and does not change (K8s v1.37 pkg/kubelet rejectPod,
// status/status_manager.go updateStatusInternal). So a pod that ran until its kubelet was restarted, and was refused then
// (kubernetes/kubernetes#125579), had started long before this status was written. Where that cannot be told, the answer is no.
func RefusedAtOnce(pod *corev1.Pod) bool {
	started, s := pod.Status.StartTime, pod.Status
	written := writtenByKubelet(pod)
	return s.Phase == corev1.PodFailed && s.Reason != "" && started != nil && written != nil &&
		len(s.InitContainerStatuses)+len(s.ContainerStatuses)+len(s.EphemeralContainerStatuses) == 0 && s.PodIP == "" &&
		strings.HasPrefix(s.Message, "Pod was rejected: ") && written.Sub(started.Time).Abs() <= atOnce
}

// writtenByKubelet is when the kubelet last wrote the status of the pod.
func writtenByKubelet(pod *corev1.Pod) (last *metav1.Time) {
	for _, f := range pod.ManagedFields {
		if f.Subresource == "status" && f.Manager == "kubelet" && f.Time != nil && (last == nil || last.Before(f.Time)) {
			last = f.Time
		}
	}
	return last
}
