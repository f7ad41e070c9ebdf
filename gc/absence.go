package gc

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An absence is what we know about a Node that no longer exists.
type absence struct {
	// since is when the Node left, or when we first missed it.
	since time.Time
	// node is its last state; nil if we did not see it go.
	node *corev1.Node
	// reason is why the Node left; the zero Reason if unknown.
	reason reason.Reason
	// explained is set if that reason says that the Node is gone for good.
	explained bool
	// obituary is its record, if there is one.
	obituary *v1alpha1.NodeObituary
}

// storedPrecision is that of the times in stored objects: the event may be that much later.
const storedPrecision = time.Second

// explains reports whether a reason says that a Node is gone for good. Code Unexplained stands for
// having no reason.
func explains(r reason.Reason) bool { return !r.IsZero() && r.Code != reason.Unexplained }

// reasonFromLastState infers why a Node left from its last state. That the kubelet had stopped
// answering does not mean that the Node is gone for good, so that alone is no explanation.
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

// absenceOf combines what the node tracker remembers with what is on record. first is when we first
// missed the Node.
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

// covers reports whether the Node's end can have ended the pod. A pod created for a Node that was
// long gone waits for another Node of that name.
func (a absence) covers(pod *corev1.Pod) bool {
	if a.obituary != nil {
		return audit.SpeaksFor(a.obituary, pod.CreationTimestamp.Time)
	}
	return a.node != nil && !pod.CreationTimestamp.After(a.since.Add(storedPrecision))
}

// due returns how long the pod still has to wait: not at all if a reason explains the absence, else
// until the quarantine is over, since the Node may come back.
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

// unknownEnd is the reason recorded for a Node whose last state explains nothing.
func unknownEnd(d lastSeen) reason.Reason {
	return reason.Facts{Now: d.at, Node: d.node,
		Remover: reason.Remover{User: reason.UnknownRemover}}.Unknown()
}
