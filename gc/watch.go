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
)

// silence is how long a terminating pod may be without a reason before the collector gives it one:
// whoever deleted it may be about to write their own.
const silence = 500 * time.Millisecond

// A Standby tracks the Nodes for a collector. It is a runnable of every replica: whoever leads next
// knows the last state of Nodes that went while nobody led. The collector's queues end with it,
// since it has Nodes examined that it sees while another replica leads.
type Standby struct{ c *Collector }

// Standby returns the runnable that belongs to the collector, which waits for it.
func (c *Collector) Standby() Standby { return Standby{c} }

// NeedLeaderElection says that every replica counts.
func (Standby) NeedLeaderElection() bool { return false }

// Start follows the Nodes until ctx is done.
func (s Standby) Start(ctx context.Context) error {
	defer s.c.turns.ShutDown()
	defer s.c.subjects.ShutDown()
	nodes, err := s.c.cache.GetInformer(ctx, &corev1.Node{})
	if err != nil {
		return fmt.Errorf("watch the nodes: %w", err)
	}
	events, err := nodes.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.c.nodeSeen(o.(*corev1.Node)) },
		UpdateFunc: func(_, o any) { s.c.nodeSeen(o.(*corev1.Node)) },
		DeleteFunc: func(o any) { s.c.nodeLeft(last[*corev1.Node](o)) },
	})
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

// last is the final state in a DELETED event, or the last that was seen of an object whose event
// was missed.
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

// follow watches pods and obituaries from now on. A handler that joins a running informer is first
// told of everything that is there: that is the new leader's look at all pods, and the informer's
// resync is the safety net that repeats it. Before told, what is missed is not known in full, and
// the brake cannot judge.
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
	podEvents, err := pods.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { c.podSeen(o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { c.podSeen(o.(*corev1.Pod)) },
		DeleteFunc: func(o any) { c.forgetFinished(last[*corev1.Pod](o)) },
	})
	if err != nil {
		return nil, nil, fmt.Errorf("watch the pods: %w", err)
	}
	obituaryEvents, err := obituaries.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { c.obituarySeen(o.(*v1alpha1.NodeObituary)) },
		UpdateFunc: func(_, o any) { c.obituarySeen(o.(*v1alpha1.NodeObituary)) },
	})
	if err != nil {
		return nil, nil, fmt.Errorf("watch the obituaries: %w", err)
	}
	told = func() bool { return podEvents.HasSynced() && obituaryEvents.HasSynced() }
	return told, func() {
		// An informer that has stopped has no handlers to remove; that is no fault.
		_ = pods.RemoveEventHandler(podEvents)
		_ = obituaries.RemoveEventHandler(obituaryEvents)
	}, nil
}

// podSeen decides cheaply whether a pod needs a look. It runs for every change of every pod.
func (c *Collector) podSeen(pod *corev1.Pod) {
	hasReason := c.hasReason(pod)
	c.noteFinished(pod, hasReason)
	cause, ok := causeOf(pod, c.nodes.known(pod.Spec.NodeName).state, hasReason)
	if !ok || c.turns.holds(pod.UID) {
		return
	}
	key := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	switch cause {
	case CauseOrphaned:
		c.brake.miss(pod.Spec.NodeName)
		c.subjects.Add(subject{node: pod.Spec.NodeName})
	case CauseUnexplained:
		c.subjects.AddAfter(subject{pod: key}, silence)
	default:
		c.subjects.Add(subject{pod: key})
	}
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
