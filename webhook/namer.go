package webhook

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

const (
	// The scheduler writes down whom it preempted for beside the deletion of the victims, a moment earlier or later. nameFirst is
	// when a victim that is still there is looked at again; each further look waits twice as long, and there are nameLooks.
	nameFirst = 200 * time.Millisecond
	nameLast  = 10 * time.Second
	nameLooks = 7
)

// A Namer says for whom preempted pods had to go, where that became known after their deletion was asked for and while they
// terminate. It is a runnable of the leader.
type Namer struct {
	handler *Handler
	cache   cache.Cache
	log     logr.Logger
}

// Namer returns the runnable that completes what the handler did not know yet of preempted pods.
func (h *Handler) Namer(c cache.Cache) *Namer {
	return &Namer{handler: h, cache: c, log: h.log.WithName("namer")}
}

// NeedLeaderElection says that one replica names preemptors.
func (*Namer) NeedLeaderElection() bool { return true }

// Start watches the pods until ctx is done.
func (n *Namer) Start(ctx context.Context) error {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](nameFirst, nameLast))
	defer queue.ShutDown()
	stop, err := follow(ctx, n.cache, &corev1.Pod{}, func(pod *corev1.Pod) {
		if n.nameless(pod) {
			queue.AddAfter(client.ObjectKeyFromObject(pod), nameFirst)
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	for range keepers {
		go n.work(ctx, queue)
	}
	<-ctx.Done()
	return nil
}

// nameless tells whether the pod terminates for a preemptor whom its reason does not name.
func (n *Namer) nameless(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp == nil {
		return false
	}
	own, err := n.handler.inferrer.Keys.Pod.Read(pod.Annotations)
	return err == nil && own.LacksPreemptor()
}

func (n *Namer) work(ctx context.Context, queue workqueue.TypedRateLimitingInterface[types.NamespacedName]) {
	for {
		key, quit := queue.Get()
		if quit {
			return
		}
		done, err := n.name(ctx, key)
		if err != nil && ctx.Err() == nil {
			n.log.Error(err, "preemptor not named", "pod", key.String())
		}
		if done || queue.NumRequeues(key) >= nameLooks {
			queue.Forget(key)
		} else {
			queue.AddRateLimited(key)
		}
		queue.Done(key)
	}
}

// name writes the preemptor into the reason of its victim, if he is known by now, and tells whether nothing is left to do. Before it
// writes it reads the pod itself, not what the cache keeps of it: the write is bound to what was read.
func (n *Namer) name(ctx context.Context, key types.NamespacedName) (done bool, err error) {
	pod := &corev1.Pod{}
	if err := n.handler.reader.Get(ctx, key, pod); err != nil || !n.nameless(pod) {
		return err == nil || apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
	r, known, err := n.preemptor(ctx, pod)
	if err != nil || !known {
		return false, err
	}
	if err := n.handler.live.Get(ctx, key, pod); err != nil || !n.nameless(pod) {
		return err == nil || apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
	w, _ := reason.ReadWritten(pod.Annotations)
	_, err = n.handler.writer.AnnotateFor(ctx, pod, r, w.For)
	switch {
	case errors.Is(err, termination.ErrGone), errors.Is(err, termination.ErrVanishing):
		return true, nil
	case errors.Is(err, termination.ErrChanged):
		return false, nil
	}
	return err == nil, err
}

// preemptor infers the reason anew, as if the pod had none, and tells whether it now says who he is.
func (n *Namer) preemptor(ctx context.Context, pod *corev1.Pod) (r reason.Reason, known bool, err error) {
	keys := n.handler.inferrer.Keys.Pod
	victim := without(pod, keys).(*corev1.Pod)
	f := reason.Facts{Now: n.handler.clock.Now(), Pod: victim, Remover: reason.Remover{User: pod.Annotations[keys.By], Actor: reason.Scheduler}}
	if err := errors.Join(n.handler.nodeFacts(ctx, &f), n.handler.preemptorFacts(ctx, &f)); err != nil {
		return reason.Reason{}, false, err
	}
	r, ok := n.handler.inferrer.Infer(f)
	return r, ok && r.Code == reason.Preempted && !r.LacksPreemptor(), nil
}
