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

	// MaxImageBytes and MaxMessageBytes bound the name of an image and a termination message.
	MaxImageBytes   = 256
	MaxMessageBytes = 512
)

// containers returns what the kubelet last said of each container, and how many there was no room
// for. A container that the kubelet never mentioned is missing.
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
		State: v1alpha1.NeverStarted, Image: reason.CleanTo(s.Image, MaxImageBytes),
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

// unknownExit is the code that containerd, when it starts, gives a container whose process is gone,
// with the reason Unknown (internal/cri/server/helpers.go of containerd 2.0): after the machine has
// restarted, for instance.
const unknownExit = 255

// exited fills in how a container ended. If the kubelet or containerd had lost sight of it, they
// made its code up (for the kubelet: K8s v1.37 pkg/kubelet/kubelet_pods.go,
// ContainerStatusUnknown): nobody saw it end.
func exited(c *v1alpha1.ContainerEnd, t *corev1.ContainerStateTerminated) {
	c.Reason, c.Started = t.Reason, valid(t.StartedAt)
	if t.Reason == "ContainerStatusUnknown" && strings.Contains(t.Message, "used to be Running") ||
		t.Reason == "Unknown" && t.ExitCode == unknownExit {
		c.State = v1alpha1.Running
		return
	}
	c.State, c.ExitCode, c.Finished = v1alpha1.Exited, ptr.To(t.ExitCode), valid(t.FinishedAt)
	c.Message = message(t.Message)
}

// longestEscape is how many bytes one byte has at most, once it is cleaned: \x1b.
const longestEscape = 4

// message returns the end of a termination message, in one line.
func message(s string) string {
	line := strings.Join(strings.Fields(Tail(s, MaxMessageBytes)), " ")
	clean := reason.CleanTo(line, longestEscape*MaxMessageBytes)
	return strings.ToValidUTF8(Tail(clean, MaxMessageBytes), "")
}

// Tail returns the end of a text, where a log says what went wrong. It is a copy if it is cut, so
// that the rest is not kept.
func Tail(s string, maxBytes int) string {
	if len(s) <= maxBytes {
		return s
	}
	return string([]byte(s[len(s)-maxBytes:]))
}

// EndedByItself reports whether the pod had ended before anybody asked for its deletion. The phase
// alone does not tell: a kubelet that stops a pod also sets it before it deletes the pod.
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

// before is false if that cannot be told.
func before(a, b metav1.Time) bool { return !a.IsZero() && a.Time.Before(b.Time) }
