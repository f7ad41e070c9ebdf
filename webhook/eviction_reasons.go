package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

const (
	// maxPendingEvictions are remembered: evictions of a whole large cluster's drain. With 1 KiB of
	// text each they take 32 MiB at most, and the oldest are forgotten first.
	maxPendingEvictions = 20_000
	// pendingLife is how long after its admission an eviction can still be seen to go through: the
	// API server gives a request a minute.
	pendingLife = 90 * time.Second
	// workers write the reasons of evicted pods at the same time.
	workers = 8
)

// pendingEvictions are the reasons of pods whose eviction was admitted, until the pod is seen to
// terminate or it turns out that a disruption budget refused. A drain that asks again and again
// replaces its own entry. They live in the memory of the replica that was asked: nothing is written
// for an eviction that may be refused.
type pendingEvictions struct{ cache *utilcache.LRUExpireCache }

func newPendingEvictions(c clock.PassiveClock) *pendingEvictions {
	return &pendingEvictions{cache: utilcache.NewLRUExpireCacheWithClock(maxPendingEvictions, c)}
}

// A pendingEviction is what is written onto an evicted pod: a reason, or no more than who evicted
// it.
type pendingEviction struct {
	reason reason.Reason
	user   string
	marks  bool
}

func (p *pendingEvictions) add(pod types.UID, what pendingEviction) {
	p.cache.Add(pod, what, pendingLife)
}

func (p *pendingEvictions) of(pod types.UID) (pendingEviction, bool) {
	what, ok := p.cache.Get(pod)
	if !ok {
		return pendingEviction{}, false
	}
	return what.(pendingEviction), true
}

func (p *pendingEvictions) forget(pod types.UID) { p.cache.Remove(pod) }

// EvictionReasons writes the reasons of evicted pods when they are seen to terminate. It reconciles
// Pods.
type EvictionReasons struct{ handler *Handler }

// Options run the controller on every replica: each writes for the evictions that it admitted.
func (*EvictionReasons) Options() controller.Options {
	return controller.Options{MaxConcurrentReconciles: workers, NeedLeaderElection: ptr.To(false)}
}

// Concerns tells whether the pod is to get a reason that was found when its eviction was admitted.
func (k *EvictionReasons) Concerns(o client.Object) bool {
	pod, ok := o.(*corev1.Pod)
	return ok && k.owed(pod)
}

// owed tells whether the pod terminates, and we know of what while nobody else has said so. What
// the garbage collector inferred on seeing the pod gives way: it did not know who evicted it.
func (k *EvictionReasons) owed(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp == nil {
		return false
	}
	own, err := k.handler.inferrer.Keys.Pod.Read(pod.Annotations)
	found, ok := k.handler.pending.of(pod.UID)
	switch {
	case !ok:
		return false
	case found.marks:
		w, _ := reason.ReadWritten(pod.Annotations)
		return w.For != reason.CleanTo(found.user, reason.MaxByBytes)
	default:
		return err != nil || own.By == reason.ByGC
	}
}

// Reconcile writes the reason onto the terminating pod. It reads the pod itself, not what
// the cache keeps of it: the write is bound to what was read.
func (k *EvictionReasons) Reconcile(ctx context.Context,
	request reconcile.Request) (reconcile.Result, error) {
	pod := &corev1.Pod{}
	if err := k.handler.live.Get(ctx, request.NamespacedName, pod); apierrors.IsNotFound(err) {
		return reconcile.Result{}, nil
	} else if err != nil {
		return reconcile.Result{}, fmt.Errorf("read pod %s: %w", request, err)
	}
	found, ok := k.handler.pending.of(pod.UID)
	if !ok || !k.owed(pod) {
		return reconcile.Result{}, nil
	}
	var err error
	if found.marks {
		_, err = k.handler.writer.Mark(ctx, pod, found.user)
	} else {
		_, err = k.handler.writer.AnnotateFor(ctx, pod, found.reason, found.user)
	}
	if err != nil && !errors.Is(err, termination.ErrGone) &&
		!errors.Is(err, termination.ErrVanishing) && !errors.Is(err, termination.ErrUnwritable) {
		return reconcile.Result{}, err
	}
	k.handler.pending.forget(pod.UID)
	return reconcile.Result{}, nil
}
