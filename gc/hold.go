package gc

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// holdRecheck is how often we examine a held node again, besides on the events that release it.
const holdRecheck = 10 * time.Second

// released reports whether somebody has released the pods of this node.
func (a absence) released() bool {
	return a.obituary != nil && a.obituary.Annotations[reason.ReleaseKey] != ""
}

// onHold reports whether it is on record that the pods of this node are held.
func (a absence) onHold() bool {
	return a.obituary != nil && a.obituary.Annotations[reason.HeldKey] != ""
}

// left is when the Node left. The recorded time comes first, since every replica sees the same. The
// record itself may be written later.
func (a absence) left() time.Time {
	if a.obituary != nil {
		return a.obituary.Spec.Removed.Time
	}
	return a.since
}

// A brakeState is the brake's decision about one node, with the figures behind it.
type brakeState struct {
	held bool
	// lost nodes out of total are gone unexplained.
	lost, total int
}

// brakeHolds reports whether the pods of an absent node must stay although they are due.
func (c *Collector) brakeHolds(ctx context.Context, name string, a absence) (bool, error) {
	v, err := c.judge(ctx, name, a)
	if err != nil {
		return true, err
	}
	if c.brake.hold(name, v.held) {
		c.logBrake(name, v)
	}
	if !v.held || a.onHold() {
		return v.held, nil
	}
	return true, c.putOnHold(ctx, name, a, v)
}

// judge decides about the node, given all others that are gone unexplained. A name that is not
// known to have been a Node's does not count: anybody who may create pods can invent any number of
// names.
func (c *Collector) judge(ctx context.Context, name string, a absence) (brakeState, error) {
	if !c.config.Brake.Enabled || a.explained || a.released() {
		return brakeState{}, nil
	}
	l, err := c.lossesNow(ctx)
	if err != nil {
		return brakeState{}, err
	}
	if _, counted := l.lost[name]; !counted {
		s, err := c.sightingOf(ctx, name, c.clock.Now())
		if err != nil || !s.wasNode {
			return brakeState{}, err
		}
		l = l.with(name, a.left())
	}
	lost, here := len(l.lost), c.nodes.population(l)
	return brakeState{held: implausible(c.config.Brake, lost, here), lost: lost,
		total: lost + here}, nil
}

// putOnHold puts on record that the pods of the node are held, and emits an Event.
func (c *Collector) putOnHold(ctx context.Context, name string, a absence, v brakeState) error {
	switch {
	case a.obituary != nil:
		if err := c.obituaries.Hold(ctx, a.obituary); err != nil {
			return err
		}
	case a.node == nil:
		// Nobody saw this Node go: without a record there would be nothing to annotate for a
		// release. The record's creation brings us here again.
		return c.obituaries.RecordMissing(ctx, name, a.since)
	default:
		return nil // its record is written but not in the cache yet
	}
	c.recorder.Eventf(subjectOf(name, a), nil, corev1.EventTypeWarning, EventHolding, "HoldPods",
		"Node %s is gone and nobody said why, as are %d of %d nodes (more than %d%%): its pods are held until it is back, or released by: %s",
		name, v.lost, v.total, c.config.Brake.MaxPercent, releaseCommand(name))
	return nil
}

func (c *Collector) logBrake(name string, v brakeState) {
	if !v.held {
		c.log.Info("brake released", "node", name, "gone", v.lost, "nodes", v.total)
		return
	}
	c.log.Info("brake holds the pods of a node",
		"node", name, "gone", v.lost, "nodes", v.total, "maxPercent", c.config.Brake.MaxPercent,
		"release", releaseCommand(name))
}

// releaseCommand is the command for a person who knows that the node is really gone.
func releaseCommand(node string) string {
	return "kubectl annotate $(kubectl get nodeobituaries -o name --field-selector spec.nodeName=" +
		node + ") " + reason.ReleaseKey + "=yes"
}
