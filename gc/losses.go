package gc

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
)

// lossesNow counts the nodes that are gone unexplained:
//   - those that still have pods, however long ago they left, unless a person has released the
//     pods;
//   - those that left within brake.window, even if their pods are gone, so that losses do not
//     trickle past the brake one by one;
//   - while any pods are held: all nodes whose pods have been held, even if a person has since
//     released or explained them. What a person knows about one node says nothing about the others;
//     only nodes that return lower the count.
//
// It reads all of this from Nodes, pods and NodeObituaries.
func (c *Collector) lossesNow(ctx context.Context) (losses, error) {
	now := c.clock.Now()
	if l, ok := c.brake.counted(now); ok {
		return l, nil
	}
	l, open := losses{lost: map[string]time.Time{}, returned: sets.New[string]()}, false
	for _, name := range append(c.brake.missing(), c.nodes.goneNames()...) {
		if c.nodes.known(name).state != absent {
			c.brake.back(name)
			continue
		}
		s, err := c.sightingOf(ctx, name, now)
		if err != nil {
			return losses{}, err
		}
		if !s.hasPods {
			c.brake.back(name)
		}
		if s.counts() {
			l.lost[name] = s.left()
			open = open || s.onHold()
		}
	}
	return l, c.countRecorded(ctx, l, open, now)
}

// countRecorded adds the losses and returns that only the records show, and keeps the count.
func (c *Collector) countRecorded(ctx context.Context, l losses, open bool, now time.Time) error {
	all := &v1alpha1.NodeObituaryList{}
	if err := c.cache.List(ctx, all, sharing); err != nil {
		return fmt.Errorf("list the obituaries of nodes: %w", err)
	}
	for n := range all.Items {
		o := &all.Items[n]
		name := o.Spec.NodeName
		switch {
		case c.nodes.known(name).state != absent:
			l.returned.Insert(name)
			continue
		case o.Spec.Returned, o.Spec.SucceededBy != "":
			continue
		}
		a := absence{obituary: o, explained: explains(audit.ReasonOf(o))}
		recent := !a.explained && !a.released() &&
			now.Sub(audit.LeftAt(o)) <= c.config.Brake.Window.Duration
		if _, counted := l.lost[name]; !counted && (recent || open && a.onHold()) {
			l.lost[name] = a.left()
		}
	}
	c.brake.keep(l, now)
	return nil
}

// sightingOf gathers what we know about a name that no Node has.
func (c *Collector) sightingOf(ctx context.Context, name string, now time.Time) (sighting, error) {
	pods, err := c.podsOf(ctx, name)
	if err != nil {
		return sighting{}, err
	}
	o, err := c.obituaries.Last(ctx, name)
	if err != nil {
		return sighting{}, err
	}
	d, seen := c.nodes.lastSeen(name)
	first := now
	if !seen && len(pods) > 0 {
		first = c.missing.first(name, now)
	}
	s := sighting{absence: absenceOf(c.inferrer, d, seen, o, first)}
	s.wasNode = seen || o != nil && (o.Spec.NodeUID != "" || o.Spec.SucceededBy != "")
	for n := range pods {
		hasReason := c.hasReason(&pods[n])
		s.wasNode = s.wasNode || ran(&pods[n], hasReason)
		s.hasPods = s.hasPods || !settled(&pods[n], hasReason)
	}
	return s, nil
}

// ran reports whether a kubelet has written the pod's status, which proves that there was a Node of
// that name. The creator of a pod can bind it to any name, but the API server resets its status,
// and only kubelets and controllers may write that; a kubelet only that of pods on its own Node.
// That a pod failed proves nothing if it has a reason, since then a collector may have failed it.
func ran(pod *corev1.Pod, hasReason bool) bool {
	switch pod.Status.Phase {
	case corev1.PodRunning, corev1.PodSucceeded:
		return true
	case corev1.PodFailed:
		return !hasReason
	default:
		return false
	}
}
