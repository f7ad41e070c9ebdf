package reason

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A Status is a rule that reads the reason and the message that a kubelet leaves in the status of a
// pod that it failed. Somebody else deletes the pod, often much later: the recorded cause outranks
// whoever tidies up.
type Status struct {
	Reason  Pattern `json:"reason"`
	Message Pattern `json:"message,omitzero"`
	// Code that the status leads to.
	Code Code `json:"code"`
	// Detail fills the gap of the code's sentence, as in [Signal].
	Detail string `json:"detail"`
	Source string `json:"source"`
}

var statuses = load[Status]("kubelet.yaml")

// Statuses are the rules for the kubelet's words; the first that matches counts.
func Statuses() []Status { return slices.Clone(statuses()) }

func (n inference) statusSays() (Reason, bool) {
	status := n.Pod.Status
	if status.Phase != corev1.PodFailed || status.Reason == "" {
		return Reason{}, false
	}
	for _, s := range n.rules.statuses() {
		if !s.Reason.Matches(status.Reason) || !s.Message.Matches(status.Message) {
			continue
		}
		found := sighting{node: n.Pod.Spec.NodeName, reason: status.Reason, message: status.Message,
			groups: s.Message.groups(status.Message)}
		r := New(Pod, s.Code, found.words(s.Detail), n.kubelet())
		if s.Code == NodeShutdown {
			return n.endedByShutdown(r)
		}
		return always(r)
	}
	return Reason{}, false
}

func (n inference) kubelet() string { return "system:node:" + n.Pod.Spec.NodeName }

// endedByShutdown finds out why the node was shut down. The pod may be deleted long after. Evidence
// counts if it is from the time of the pod's end, even if the node has booted since; what is wrong
// with the node now counts only if the pod ended just now.
func (n inference) endedByShutdown(shutdown Reason) (Reason, bool) {
	c := podCondition(n.Pod, corev1.DisruptionTarget)
	if c != nil && n.Node != nil && n.NodeReason.IsZero() {
		if e, ok := weightiest(n.Node,
			func(e Evidence) bool { return e.explains(c.LastTransitionTime.Time) }); ok {
			r, _ := e.reason(n.Node.Name)
			return always(ForPodsOf(n.Node.Name, r))
		}
	}
	if c != nil && n.Now.Sub(c.LastTransitionTime.Time) > goingDown {
		return always(shutdown)
	}
	return n.because(shutdown)
}

// explains reports whether a pod that ended at that time can have ended because of e.
func (e Evidence) explains(end time.Time) bool {
	return !end.Before(e.When.Add(-clockSkew)) && !end.After(e.When.Add(goingDown))
}
