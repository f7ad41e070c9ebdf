package gc

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An absence is what is known about a Node that is not there.
type absence struct {
	// since is when the Node left, or was first missed.
	since time.Time
	// node is its last state, where somebody saw it go.
	node *corev1.Node
	// reason is what the Node left with, the zero Reason where nothing is known.
	reason reason.Reason
	// explained is set where that reason says that the Node is gone for good.
	explained bool
	// obituary is its record, where there is one.
	obituary *v1alpha1.NodeObituary
}

// storedPrecision is that of the times in stored objects: what happened may be as much later.
const storedPrecision = time.Second

// explains tells whether a reason is one that a Node left with for good. Code Unexplained is the
// word for having none.
func explains(r reason.Reason) bool { return !r.IsZero() && r.Code != reason.Unexplained }

// reasonFromLastState infers what a Node left with from its last state. A kubelet that had stopped
// answering tells what happened but not that it will not be back, so that alone is no explanation.
func reasonFromLastState(inferrer reason.Inferrer, node *corev1.Node,
	now time.Time) (reason.Reason, bool) {
	f := reason.Facts{Now: now, Node: node, NodeGone: true,
		Remover: reason.Remover{User: reason.UnknownRemover, Actor: reason.PodGC}}
	r, ok := inferrer.Infer(f)
	if !ok {
		return f.Unknown(), false
	}
	return r, explains(r) && r.Code != reason.NodeUnreachable
}

// absenceOf puts together what the node tracker remembers and what is on record. first is when the
// Node was first missed.
func absenceOf(inferrer reason.Inferrer, d lastSeen, seen bool, o *v1alpha1.NodeObituary,
	first time.Time) absence {
	a := absence{since: first}
	if seen {
		a.since, a.node = d.at, d.node
		a.reason, a.explained = reasonFromLastState(inferrer, d.node, d.at)
	}
	if o == nil || o.Spec.SucceededBy != "" || seen && o.Spec.NodeUID != d.node.UID {
		return a
	}
	a.obituary = o
	if left := audit.LeftAt(o).Add(storedPrecision); !seen && left.Before(a.since) {
		a.since = left
	}
	if recorded := audit.ReasonOf(o); explains(recorded) || !explains(a.reason) {
		a.reason, a.explained = recorded, explains(recorded)
	}
	return a
}

// covers tells whether the Node's end can have been the end of the pod: one that was created for a
// Node that was long gone waits for another of that name.
func (a absence) covers(pod *corev1.Pod) bool {
	if a.obituary != nil {
		return audit.SpeaksFor(a.obituary, pod.CreationTimestamp.Time)
	}
	return a.node != nil && !pod.CreationTimestamp.After(a.since.Add(storedPrecision))
}

// due returns how long the pod has to wait. A reason explains at once; otherwise the Node may come
// back.
func (a absence) due(pod *corev1.Pod, now time.Time, quarantine time.Duration) time.Duration {
	if a.explained && a.covers(pod) {
		return 0
	}
	from := a.since
	if pod.CreationTimestamp.After(from) {
		from = pod.CreationTimestamp.Time
	}
	return max(0, from.Add(quarantine).Sub(now))
}

// unknownEnd is what goes on record for a Node whose last state explains nothing.
func unknownEnd(d lastSeen) reason.Reason {
	return reason.Facts{Now: d.at, Node: d.node,
		Remover: reason.Remover{User: reason.UnknownRemover}}.Unknown()
}
