package reason

import "slices"

// A PodSignal is a rule that reads what a component leaves on a Pod before it deletes it.
type PodSignal struct {
	// Mark is what is read.
	Mark Mark `json:"mark"`
	// Users are those who write the mark: on a living pod it explains only their own delete.
	Users []Pattern `json:"users"`
	// Code that the signal leads to.
	Code Code `json:"code"`
	// Detail fills the gap of the code's sentence, as in [Signal].
	Detail string `json:"detail"`
	// Node is set if the pod's node is the cause: then the node's trouble, if there is any, is the
	// reason.
	Node bool `json:"node"`
	// Source is the project (and version) that leaves the mark.
	Source string `json:"source"`
}

var podSignals = load[PodSignal]("schedulers.yaml")

// PodSignals are what components that Kubernetes does not ship leave on their victims; the first
// that matches counts.
func PodSignals() []PodSignal { return slices.Clone(podSignals()) }

// schedulerSays reads what other schedulers, and Kueue, leave on the pod.
func (n inference) schedulerSays() (Reason, bool) {
	for _, s := range n.rules.podSignals() {
		found, ok := s.Mark.onPod(n.Pod)
		if !ok {
			continue
		}
		writes := !n.Remover.Evicts && anyMatches(s.Users, n.Remover.User)
		fresh := !found.condition || n.Now.Sub(found.since.Time) <= disruptionWindow
		if !n.settled() && (!writes || !fresh) {
			continue
		}
		by := UnknownRemover
		if writes && fresh || n.Remover.Actor == 0 {
			by = n.Remover.User
		}
		r := New(Pod, s.Code, found.words(s.Detail), by)
		if s.Node {
			return n.because(r)
		}
		return r, true
	}
	return Reason{}, false
}
