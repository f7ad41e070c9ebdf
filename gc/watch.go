package gc

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/termination"
)

// shortSilence is how long a terminating pod may be without a reason before the collector gives it
// one, if no webhook writes reasons: whoever deleted it may be about to write one.
const shortSilence = 500 * time.Millisecond

// silence returns the same for a cluster in which a webhook may write reasons.
func silence(writtenBehind bool) time.Duration {
	if writtenBehind {
		return termination.WriteBehind
	}
	return shortSilence
}

// A Standby tracks the Nodes for a collector. Every replica runs it, so that the next leader knows
// the last state of Nodes that went while nobody led. It shuts the collector's queues down, since
// it adds to them even while another replica leads.
type Standby struct{ c *Collector }

// Standby returns the runnable that belongs to the collector, which waits for it.
func (c *Collector) Standby() Standby { return Standby{c} }

// NeedLeaderElection says that every replica runs it.
func (Standby) NeedLeaderElection() bool { return false }

// Start follows the Nodes until ctx is done.
func (s Standby) Start(ctx context.Context) error {
	defer s.c.turns.ShutDown()
	defer s.c.subjects.ShutDown()
	nodes, err := s.c.cache.GetInformer(ctx, &corev1.Node{})
	if err != nil {
		return fmt.Errorf("watch the nodes: %w", err)
	}
	events, err := nodes.AddEventHandler(s.c.guard.Handler("event of a node",
		toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { s.c.nodeSeen(o.(*corev1.Node)) },
			UpdateFunc: func(_, o any) { s.c.nodeSeen(o.(*corev1.Node)) },
			DeleteFunc: func(o any) { s.c.nodeLeft(last[*corev1.Node](o)) },
		}))
	if err != nil {
		return fmt.Errorf("watch the nodes: %w", err)
	}
	// it fails only for what was not registered
	defer func() { _ = nodes.RemoveEventHandler(events) }()
	if toolscache.WaitForCacheSync(ctx.Done(), events.HasSynced) {
		close(s.c.counted)
	}
	<-ctx.Done()
	return nil
}

// last returns the object's final state from a DELETED event, or its last known state if the watch
// missed that event.
func last[T client.Object](o any) T {
	if missed, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = missed.Obj
	}
	return o.(T)
}

func (c *Collector) nodeSeen(node *corev1.Node) {
	if c.nodes.arrive(node) {
		c.subjects.Add(subject{node: node.Name})
	}
}

func (c *Collector) nodeLeft(node *corev1.Node) {
	c.nodes.leave(node, c.clock.Now())
	c.subjects.Add(subject{node: node.Name})
}

// follow watches pods and obituaries from now on. A handler added to a running informer first gets
// every object in its cache: so a new leader looks at all pods, and the informer's resync repeats
// that as a safety net. Until told returns true, not all missing nodes are known, and the brake
// cannot judge.
func (c *Collector) follow(
	ctx context.Context) (told toolscache.InformerSynced, stop func(), err error) {
	pods, err := c.cache.GetInformer(ctx, &corev1.Pod{})
	if err != nil {
		return nil, nil, fmt.Errorf("watch the pods: %w", err)
	}
	obituaries, err := c.cache.GetInformer(ctx, &v1alpha1.NodeObituary{})
	if err != nil {
		return nil, nil, fmt.Errorf("watch the obituaries: %w", err)
	}
	podEvents, err := pods.AddEventHandler(c.guard.Handler("event of a pod",
		toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { c.podSeen(o.(*corev1.Pod)) },
			UpdateFunc: func(_, o any) { c.podSeen(o.(*corev1.Pod)) },
			DeleteFunc: func(o any) { c.forgetFinished(last[*corev1.Pod](o)) },
		}))
	if err != nil {
		return nil, nil, fmt.Errorf("watch the pods: %w", err)
	}
	obituaryEvents, err := obituaries.AddEventHandler(c.guard.Handler("event of an obituary",
		toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { c.obituarySeen(o.(*v1alpha1.NodeObituary)) },
			UpdateFunc: func(_, o any) { c.obituarySeen(o.(*v1alpha1.NodeObituary)) },
		}))
	if err != nil {
		return nil, nil, fmt.Errorf("watch the obituaries: %w", err)
	}
	told = func() bool { return podEvents.HasSynced() && obituaryEvents.HasSynced() }
	return told, func() {
		// An informer that has stopped has no handlers to remove, which is fine.
		_ = pods.RemoveEventHandler(podEvents)
		_ = obituaries.RemoveEventHandler(obituaryEvents)
	}, nil
}

// podSeen decides cheaply whether to examine a pod. It runs for every change of every pod.
func (c *Collector) podSeen(pod *corev1.Pod) {
	hasReason := c.hasReason(pod)
	c.noteFinished(pod, hasReason)
	cause, ok := causeOf(pod, c.nodes.known(pod.Spec.NodeName).state, hasReason)
	if !ok || c.turns.holds(pod.UID) {
		return
	}
	key := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	switch {
	case cause == CauseOrphaned:
		c.brake.miss(pod.Spec.NodeName)
		c.subjects.Add(subject{node: pod.Spec.NodeName})
	case waits(cause, hasReason):
		c.subjects.AddAfter(subject{pod: key}, c.silence)
	default:
		c.subjects.Add(subject{pod: key})
	}
}

// waits reports whether a pod is left alone for [silence] after it was first seen to be due:
// whoever deleted it knows better why than we do.
func waits(cause Cause, hasReason bool) bool {
	return cause == CauseUnexplained || cause == CauseOutOfService && !hasReason
}

func (c *Collector) obituarySeen(o *v1alpha1.NodeObituary) {
	if c.nodes.known(o.Spec.NodeName).state == absent {
		c.subjects.Add(subject{node: o.Spec.NodeName})
	}
}

func (c *Collector) hasReason(pod *corev1.Pod) bool {
	_, err := c.inferrer.Keys.Pod.OnPod(pod)
	return err == nil
}
