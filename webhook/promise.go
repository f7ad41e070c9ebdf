package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

const (
	// maxPromises are remembered: evictions of a whole large cluster's drain. With 1 KiB of text each they take 32 MiB at
	// most, and the oldest are forgotten first.
	maxPromises = 20_000
	// promiseLife is how long after its admission an eviction can still be seen to go through: the API server gives a
	// request a minute.
	promiseLife = 90 * time.Second
	// keepers write the reasons of evicted pods at the same time.
	keepers = 8
)

// promises are the reasons of pods whose eviction was admitted, until the pod is seen to terminate or it turns out that a
// disruption budget refused. A drain that asks again and again replaces its own promise. They live in the memory of the
// replica that was asked: nothing is written for an eviction that may be refused.
type promises struct{ cache *utilcache.LRUExpireCache }

func newPromises(c clock.PassiveClock) *promises {
	return &promises{cache: utilcache.NewLRUExpireCacheWithClock(maxPromises, c)}
}

// A promise is what is written onto an evicted pod: a reason, or no more than who evicted it.
type promise struct {
	reason reason.Reason
	user   string
	marks  bool
}

func (p *promises) make(pod types.UID, what promise) { p.cache.Add(pod, what, promiseLife) }

func (p *promises) of(pod types.UID) (promise, bool) {
	what, ok := p.cache.Get(pod)
	if !ok {
		return promise{}, false
	}
	return what.(promise), true
}

func (p *promises) forget(pod types.UID) { p.cache.Remove(pod) }

// A Keeper writes the reasons of evicted pods when they are seen to terminate. It is a runnable of every replica: each keeps
// the promises that it made.
type Keeper struct {
	handler *Handler
	cache   cache.Cache
	log     logr.Logger
}

// NeedLeaderElection says that every replica keeps its own promises.
func (*Keeper) NeedLeaderElection() bool { return false }

// Start watches the pods until ctx is done.
func (k *Keeper) Start(ctx context.Context) error {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName]())
	defer queue.ShutDown()
	stop, err := follow(ctx, k.cache, &corev1.Pod{}, func(pod *corev1.Pod) {
		if k.owed(pod) {
			queue.Add(client.ObjectKeyFromObject(pod))
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	for range keepers {
		go k.work(ctx, queue)
	}
	<-ctx.Done()
	return nil
}

// owed tells whether the pod terminates, and we know of what while nobody else has said so. What the garbage collector
// inferred on seeing the pod gives way: it did not know who evicted it.
func (k *Keeper) owed(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp == nil {
		return false
	}
	own, err := k.handler.inferrer.Keys.Pod.Read(pod.Annotations)
	promised, ok := k.handler.promises.of(pod.UID)
	switch {
	case !ok:
		return false
	case promised.marks:
		w, _ := reason.ReadWritten(pod.Annotations)
		return w.For != reason.CleanTo(promised.user, reason.MaxByBytes)
	default:
		return err != nil || own.By == collector
	}
}

// collector is the name that the garbage collector signs with.
const collector = "epitaph/gc"

func (k *Keeper) work(ctx context.Context, queue workqueue.TypedRateLimitingInterface[types.NamespacedName]) {
	for {
		name, quit := queue.Get()
		if quit {
			return
		}
		if err := k.keep(ctx, name); err != nil && ctx.Err() == nil {
			k.log.Error(err, "reason of an evicted pod not written", "pod", name.String())
			queue.AddRateLimited(name)
		} else {
			queue.Forget(name)
		}
		queue.Done(name)
	}
}

// keep writes the promised reason onto the terminating pod. It reads the pod itself, not what the cache keeps of it: the write is
// bound to what was read.
func (k *Keeper) keep(ctx context.Context, name types.NamespacedName) error {
	pod := &corev1.Pod{}
	if err := k.handler.live.Get(ctx, name, pod); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read pod %s: %w", name, err)
	}
	promised, ok := k.handler.promises.of(pod.UID)
	if !ok || !k.owed(pod) {
		return nil
	}
	var err error
	if promised.marks {
		_, err = k.handler.writer.Mark(ctx, pod, promised.user)
	} else {
		_, err = k.handler.writer.AnnotateFor(ctx, pod, promised.reason, promised.user)
	}
	if err != nil && !errors.Is(err, termination.ErrGone) && !errors.Is(err, termination.ErrVanishing) && !errors.Is(err, termination.ErrUnwritable) {
		return err
	}
	k.handler.promises.forget(pod.UID)
	return nil
}
