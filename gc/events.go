package gc

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Reasons of the Events.
const (
	EventCollecting = "CollectingPods"
	EventHolding    = "HoldingPods"
)

// announce emits an Event on the Node about its pods: one per node, since one per pod would be a
// third write for each.
func (c *Collector) announce(name string, a absence, pods int) {
	why := a.reason
	if why.IsZero() {
		why = reason.New(reason.Node, reason.Unexplained, reason.UnknownRemover,
			reason.UnknownRemover)
	}
	c.log.Info("node is gone, terminating its pods", "node", name, "pods", pods,
		"code", string(why.Code), "explained", a.explained)
	c.recorder.Eventf(subjectOf(name, a), nil, corev1.EventTypeWarning, EventCollecting,
		"TerminatePods",
		"Node %s is gone; terminating %d pods: %s", name, pods, string(why.Text))
}

// subjectOf returns the Node for an Event, with its UID if that is known.
func subjectOf(name string, a absence) runtime.Object {
	ref := &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: name}
	switch {
	case a.node != nil:
		ref.UID = a.node.UID
	case a.obituary != nil:
		ref.UID = a.obituary.Spec.NodeUID
	}
	return ref
}
