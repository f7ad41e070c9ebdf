package gc

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

// sharing reads from the cache without copying: do not change what it returns.
const sharing = client.UnsafeDisableDeepCopy

// examine looks at a node, a pod or the surplus, queues the pods that are due, and returns after
// how long to look again (0: not by time).
func (c *Collector) examine(ctx context.Context, s subject) (again time.Duration, err error) {
	switch {
	case s.surplus:
		c.examineSurplus()
		return 0, nil
	case s.node == "":
		return 0, c.examinePod(ctx, s.pod)
	}
	node := c.nodes.known(s.node)
	if node.state == absent {
		return c.examineAbsent(ctx, s.node)
	}
	c.missing.over(s.node)
	c.brake.back(s.node)
	if err := c.succeed(ctx, s.node, node.uid); err != nil || node.state != outOfService {
		return 0, err
	}
	return 0, c.handOutPodsOf(ctx, s.node, outOfService)
}

// examineAbsent puts the Node's end on record, and queues those of its pods that are due.
func (c *Collector) examineAbsent(ctx context.Context,
	name string) (again time.Duration, err error) {
	a, err := c.absenceOf(ctx, name)
	if err != nil {
		return 0, err
	}
	pods, err := c.podsOf(ctx, name)
	if err != nil {
		return 0, err
	}
	if len(pods) == 0 {
		c.missing.over(name)
		c.brake.back(name)
		return 0, nil
	}
	gone, err := c.confirmed.absent(ctx, name)
	if err != nil || !gone {
		return 0, err
	}
	due, again := c.dueOf(a, pods)
	if len(due) == 0 {
		return again, nil
	}
	held, err := c.brakeHolds(ctx, name, a)
	if err != nil || held {
		return holdRecheck, err
	}
	c.handOutOrphans(name, a, due)
	return again, nil
}

// dueOf returns the pods of an absent node that are due, and after how long the next one is.
func (c *Collector) dueOf(a absence, pods []corev1.Pod) (due []*corev1.Pod, again time.Duration) {
	now := c.clock.Now()
	for n := range pods {
		pod := &pods[n]
		if settled(pod, c.hasReason(pod)) {
			continue
		}
		if wait := a.due(pod, now, c.config.Quarantine.Duration); wait > 0 {
			again = sooner(again, wait)
			continue
		}
		due = append(due, pod)
	}
	return due, again
}

// handOutOrphans queues pods of an absent node.
func (c *Collector) handOutOrphans(name string, a absence, pods []*corev1.Pod) {
	news := 0
	for _, pod := range pods {
		if c.turns.add(taskOf(pod, CauseOrphaned)) {
			news++
		}
	}
	if news > 0 {
		c.announce(name, a, news)
	}
}

func sooner(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}

func taskOf(pod *corev1.Pod, cause Cause) task {
	return task{pod: client.ObjectKeyFromObject(pod), uid: pod.UID, node: pod.Spec.NodeName,
		cause: cause}
}

// handOutPodsOf queues those pods of an existing Node that are due.
func (c *Collector) handOutPodsOf(ctx context.Context, name string, node nodeState) error {
	pods, err := c.podsOf(ctx, name)
	if err != nil {
		return err
	}
	for n := range pods {
		pod := &pods[n]
		hasReason := c.hasReason(pod)
		cause, ok := causeOf(pod, node, hasReason)
		switch {
		case !ok:
		case waits(cause, hasReason):
			c.subjects.AddAfter(subject{pod: client.ObjectKeyFromObject(pod)}, c.silence)
		default:
			c.turns.add(taskOf(pod, cause))
		}
	}
	return nil
}

// examinePod queues one pod if it is due; for an orphan it has the whole node examined.
func (c *Collector) examinePod(ctx context.Context, key types.NamespacedName) error {
	pod := &corev1.Pod{}
	if err := c.cache.Get(ctx, key, pod, sharing); err != nil {
		if apierrors.IsNotFound(err) {
			c.subjects.Forget(subject{pod: key})
		}
		return client.IgnoreNotFound(err)
	}
	switch cause, ok := causeOf(pod, c.nodes.known(pod.Spec.NodeName).state, c.hasReason(pod)); {
	case !ok:
	case cause == CauseOrphaned:
		c.subjects.Add(subject{node: pod.Spec.NodeName})
	default:
		c.turns.add(taskOf(pod, cause))
	}
	return nil
}

func (c *Collector) podsOf(ctx context.Context, node string) ([]corev1.Pod, error) {
	pods := &corev1.PodList{}
	if err := c.cache.List(ctx, pods, client.MatchingFields{reason.NodeNameField: node},
		sharing); err != nil {
		return nil, fmt.Errorf("list the pods of node %s: %w", node, err)
	}
	return pods.Items, nil
}

// absenceOf gathers what we know about a Node that does not exist. If no webhook saw the Node go,
// it puts the Node on record, so that the knowledge survives this process.
func (c *Collector) absenceOf(ctx context.Context, name string) (absence, error) {
	o, err := c.obituaries.Last(ctx, name)
	if err != nil {
		return absence{}, err
	}
	now := c.clock.Now()
	d, seen := c.nodes.lastSeen(name)
	first := now
	if !seen {
		first = c.missing.first(name, now)
	}
	a := absenceOf(c.inferrer, d, seen, o, first)
	if !seen || d.onRecord {
		return a, nil
	}
	if a.obituary == nil || a.explained && !explains(audit.ReasonOf(a.obituary)) {
		if err := c.record(ctx, d); err != nil {
			return absence{}, err
		}
	}
	c.nodes.recorded(d)
	return a, nil
}

func (c *Collector) record(ctx context.Context, d lastSeen) error {
	r, explained := reasonFromLastState(c.inferrer, d.node, d.at)
	if !explained {
		r = unknownEnd(d)
	}
	return c.obituaries.Record(ctx, d.node, r)
}

// succeed closes the obituary of an earlier Node of this name: its pods live on under the new Node,
// so what ends them later is something else.
func (c *Collector) succeed(ctx context.Context, name string, uid types.UID) error {
	o, err := c.obituaries.Last(ctx, name)
	if err != nil || o == nil || o.Spec.NodeUID == uid || o.Spec.SucceededBy != "" {
		return err
	}
	if err := c.obituaries.Succeed(ctx, o, uid); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}
