package gc

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// holdRecheck is how often a held node is looked at again, beside the events that release it.
const holdRecheck = 10 * time.Second

// released tells whether somebody has let the pods of this node go.
func (a absence) released() bool {
	return a.obituary != nil && a.obituary.Annotations[reason.ReleaseKey] != ""
}

// onHold tells whether it is on record that the pods of this node are held.
func (a absence) onHold() bool {
	return a.obituary != nil && a.obituary.Annotations[reason.HeldKey] != ""
}

// left is when the Node left. What is on record does not change with who looks; the record itself
// may be written later.
func (a absence) left() time.Time {
	if a.obituary != nil {
		return a.obituary.Spec.Removed.Time
	}
	return a.since
}

// A verdict is what the brake says about one node, with the figures that it rests on.
type verdict struct {
	held bool
	// lost nodes out of total are gone unexplained.
	lost, total int
}

// brakeHolds tells whether the pods of an absent node have to stay although their quarantine is
// over.
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

// judge weighs the node with all others that are gone unexplained. A name that is not known to have
// been a Node's is none of them: whoever may create pods can invent any number of those.
func (c *Collector) judge(ctx context.Context, name string, a absence) (verdict, error) {
	if !c.config.Brake.Enabled || a.explained || a.released() {
		return verdict{}, nil
	}
	l, err := c.lossesNow(ctx)
	if err != nil {
		return verdict{}, err
	}
	if _, counted := l.lost[name]; !counted {
		s, err := c.sightingOf(ctx, name, c.clock.Now())
		if err != nil || !s.wasNode {
			return verdict{}, err
		}
		l = l.with(name, a.left())
	}
	lost, here := len(l.lost), c.nodes.population(l)
	return verdict{held: implausible(c.config.Brake, lost, here), lost: lost,
		total: lost + here}, nil
}

// putOnHold puts on record that the pods of the node are held, and says so.
func (c *Collector) putOnHold(ctx context.Context, name string, a absence, v verdict) error {
	switch {
	case a.obituary != nil:
		if err := c.obituaries.Hold(ctx, a.obituary); err != nil {
			return err
		}
	case a.node == nil:
		// Nobody saw this Node go: without a record there would be nothing to release. Its event
		// brings us here again.
		return c.obituaries.RecordMissing(ctx, name, a.since)
	default:
		return nil // its record is written and not in the cache yet
	}
	c.recorder.Eventf(subjectOf(name, a), nil, corev1.EventTypeWarning, EventHolding, "HoldPods",
		"Node %s is gone and nobody said why, as are %d of %d nodes (more than %d%%): its pods are held until it is back, or released by: %s",
		name, v.lost, v.total, c.config.Brake.MaxPercent, releaseCommand(name))
	return nil
}

func (c *Collector) logBrake(name string, v verdict) {
	if !v.held {
		c.log.Info("brake released", "node", name, "gone", v.lost, "nodes", v.total)
		return
	}
	c.log.Info("brake holds the pods of a node",
		"node", name, "gone", v.lost, "nodes", v.total, "maxPercent", c.config.Brake.MaxPercent,
		"release", releaseCommand(name))
}

// releaseCommand is what a person types who knows that the node is really gone.
func releaseCommand(node string) string {
	return "kubectl annotate $(kubectl get nodeobituaries -o name --field-selector spec.nodeName=" +
		node + ") " + reason.ReleaseKey + "=yes"
}
