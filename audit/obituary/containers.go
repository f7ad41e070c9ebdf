package obituary

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// The bounds of the CRD's list.
const (
	maxContainers     = 64
	maxContainerBytes = 63
	maxWhyBytes       = 256
)

// containers returns the last that the kubelet said of each container, and how many found no room.
// A container of which it never said anything is not among them.
func containers(pod *corev1.Pod) (ends []v1alpha1.ContainerEnd, omitted int32) {
	for _, s := range pod.Status.InitContainerStatuses {
		ends = append(ends, end(s, true))
	}
	for _, s := range pod.Status.ContainerStatuses {
		ends = append(ends, end(s, false))
	}
	if surplus := len(ends) - maxContainers; surplus > 0 {
		//nolint:gosec // bounded by the size of an object
		return ends[:maxContainers], int32(surplus)
	}
	return ends, 0
}

func end(s corev1.ContainerStatus, isInit bool) v1alpha1.ContainerEnd {
	c := v1alpha1.ContainerEnd{
		Name: reason.CleanTo(s.Name, maxContainerBytes), Init: isInit, Restarts: s.RestartCount,
		State: v1alpha1.NeverStarted,
	}
	last := s.State.Terminated
	if last == nil && s.State.Running == nil {
		last = s.LastTerminationState.Terminated
	}
	switch {
	case s.State.Running != nil:
		c.State, c.Started = v1alpha1.Running, valid(s.State.Running.StartedAt)
	case last != nil:
		exited(&c, last)
	}
	if waiting := s.State.Waiting; waiting != nil && waiting.Reason != "" {
		c.Reason = waiting.Reason
	}
	c.Reason = reason.CleanTo(c.Reason, maxWhyBytes)
	return c
}

// unknownExit is the code that containerd gives a container without a process that it finds when it
// starts, with the reason Unknown (internal/cri/server/helpers.go of containerd 2.0): after the
// machine has restarted, for instance.
const unknownExit = 255

// exited fills in how a container ended. One that the kubelet or containerd had lost sight of has a
// code that they made up (for the kubelet: K8s v1.37 pkg/kubelet/kubelet_pods.go,
// ContainerStatusUnknown): nobody saw it end.
func exited(c *v1alpha1.ContainerEnd, t *corev1.ContainerStateTerminated) {
	c.Reason, c.Started = t.Reason, valid(t.StartedAt)
	if t.Reason == "ContainerStatusUnknown" && strings.Contains(t.Message, "used to be Running") ||
		t.Reason == "Unknown" && t.ExitCode == unknownExit {
		c.State = v1alpha1.Running
		return
	}
	c.State, c.ExitCode, c.Finished = v1alpha1.Exited, ptr.To(t.ExitCode), valid(t.FinishedAt)
}

// EndedByItself tells whether the pod had ended before anybody asked for its deletion. The phase
// alone does not tell: a kubelet that stops a pod sets it, too, before it deletes the pod.
func EndedByItself(pod *corev1.Pod) bool {
	if !reason.Finished(pod) {
		return false
	}
	asked := DeletionRequested(pod)
	if asked == nil {
		return true
	}
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Terminated == nil || !before(s.State.Terminated.FinishedAt, *asked) {
			return false
		}
	}
	return len(pod.Status.ContainerStatuses) > 0
}

// before is false where it cannot be told.
func before(a, b metav1.Time) bool { return !a.IsZero() && a.Time.Before(b.Time) }
