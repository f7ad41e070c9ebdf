package reason

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// statuses are the reasons that a kubelet leaves in the status of a pod that it failed (K8s v1.37
// pkg/kubelet/eviction/helpers.go, preemption/preemption.go, nodeshutdown/nodeshutdown_manager.go). Somebody else deletes
// the pod, often much later: the cause on record outranks whoever tidies up.
var statuses = map[string]rule{
	"Evicted": func(n inference) (Reason, bool) {
		if ownLimit(n.Pod) {
			return always(New(Pod, LimitExceeded, n.Pod.Status.Message, n.kubelet()))
		}
		return always(New(Pod, NodePressure, n.Pod.Status.Message, n.kubelet()))
	},
	"Preempting": func(n inference) (Reason, bool) {
		return always(New(Pod, Preempted, "a critical pod of node "+n.Pod.Spec.NodeName, n.kubelet()))
	},
	"Terminated": inference.endedByShutdown,
	// The pod was refused by a node that was shutting down, and never ran.
	"NodeShutdown": inference.endedByShutdown,
}

func (n inference) statusSays() (Reason, bool) {
	says, ok := n.rules.statuses[n.Pod.Status.Reason]
	if !ok || n.Pod.Status.Phase != corev1.PodFailed {
		return Reason{}, false
	}
	return says(n)
}

func (n inference) kubelet() string { return "system:node:" + n.Pod.Spec.NodeName }

// ownLimit tells whether the kubelet evicted the pod for more than it is allowed to use itself; the node was not short of
// anything, and running it again ends the same way (pkg/kubelet/eviction/helpers.go).
func ownLimit(pod *corev1.Pod) bool {
	m := pod.Status.Message
	return strings.HasPrefix(m, "Usage of EmptyDir volume ") || strings.HasPrefix(m, "Pod ephemeral local storage usage exceeds ") ||
		strings.HasPrefix(m, "Container ") && strings.Contains(m, " exceeded its local ephemeral storage limit ")
}

// endedByShutdown finds out why the node was shut down. The pod may be deleted long after: evidence counts if it is of the
// time of the pod's end, even where the node has booted since, and what is wrong with the node now counts only if the pod
// ended just now.
func (n inference) endedByShutdown() (Reason, bool) {
	c := podCondition(n.Pod, corev1.DisruptionTarget)
	if c != nil && n.Node != nil && n.NodeReason.IsZero() {
		if e, ok := weightiest(n.Node, func(e Evidence) bool { return e.explains(c.LastTransitionTime.Time) }); ok {
			r, _ := e.reason(n.Node)
			return always(ForPodsOf(n.Node.Name, r))
		}
	}
	shutdown := New(Pod, NodeShutdown, n.Pod.Spec.NodeName, n.kubelet())
	if c != nil && n.Now.Sub(c.LastTransitionTime.Time) > goingDown {
		return always(shutdown)
	}
	return n.because(shutdown)
}

// explains tells whether a pod that ended at that time can have ended of e.
func (e Evidence) explains(end time.Time) bool {
	return !end.Before(e.When.Add(-clockSkew)) && !end.After(e.When.Add(goingDown))
}
