package gc

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// holdRecheck is how often a held node is looked at again, beside the events that release it.
const holdRecheck = 10 * time.Second

// released tells whether somebody has let the pods of this node go.
func (a absence) released() bool {
	return a.obituary != nil && a.obituary.Annotations[v1alpha1.ReleaseAnnotation] != ""
}

// brakeHolds tells whether the pods of an absent node have to stay although their quarantine is over.
func (c *Collector) brakeHolds(ctx context.Context, name string, a absence) (bool, error) {
	if a.explained || a.released() {
		c.brake.clear(name)
		return false, nil
	}
	v := c.brake.judge(name, c.census.population(), c.clock.Now())
	if v.held && a.obituary == nil && a.node == nil {
		// Nobody saw this Node go: without a record there would be nothing to release.
		if err := c.obituaries.RecordMissing(ctx, name, a.since); err != nil {
			return true, err
		}
	}
	if v.news {
		c.announceBrake(name, a, v)
	}
	return v.held, nil
}

func (c *Collector) announceBrake(name string, a absence, v verdict) {
	if !v.held {
		c.log.Info("brake released", "node", name, "gone", v.lost, "nodes", v.total)
		return
	}
	c.log.Info("brake holds the pods of a node",
		"node", name, "gone", v.lost, "nodes", v.total, "window", c.config.Brake.Window.Duration.String(), "maxPercent", c.config.Brake.MaxPercent,
		"release", releaseCommand(name))
	c.recorder.Eventf(subjectOf(name, a), nil, corev1.EventTypeWarning, EventHolding, "HoldPods",
		"Node %s is gone and nobody said why, as are %d of %d nodes (more than %d%% within %s): its pods are held until it is back, or released by: %s",
		name, v.lost, v.total, c.config.Brake.MaxPercent, c.config.Brake.Window.Duration, releaseCommand(name))
}

// releaseCommand is what a person types who knows that the node is really gone.
func releaseCommand(node string) string {
	return "kubectl annotate $(kubectl get nodeobituaries -o name --field-selector spec.nodeName=" + node + ") " + v1alpha1.ReleaseAnnotation + "=yes"
}
