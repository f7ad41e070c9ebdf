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
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// A Clearer recognises what we wrote onto an object that then lived on, and takes it off, as it takes evidence off a node that
// survived it. It is *termination.Terminator.
type Clearer interface {
	Leftover(obj client.Object) (since time.Time, ok bool)
	Clear(ctx context.Context, obj client.Object) error
	Forget(ctx context.Context, node *corev1.Node, survived func(reason.Evidence) bool) error
}

// A Retractor takes back what was recorded of a node that did not leave after all.
type Retractor interface {
	Retract(ctx context.Context, node *corev1.Node) error
}

// A Sweeper takes reasons off objects whose deletion was refused, timed out or conflicted: a later, different end must not
// inherit them; and evidence off nodes that survived it. It is a runnable of the leader.
type Sweeper struct {
	Cache cache.Cache
	// After is how long an object may live on with a reason of ours.
	After      time.Duration
	Terminator Clearer
	Obituaries Retractor
	Clock      clock.WithTicker
	Log        logr.Logger
}

// sweepPrecision is added to the time that a leftover is left alone: its mark has whole minutes.
const sweepPrecision = time.Minute

// A leftover names an object to look at.
type leftover struct {
	subject reason.Subject
	name    types.NamespacedName
}

// NeedLeaderElection says that one replica sweeps.
func (*Sweeper) NeedLeaderElection() bool { return true }

// Start watches Pods and Nodes until ctx is done.
func (s *Sweeper) Start(ctx context.Context) error {
	queue := workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.DefaultTypedControllerRateLimiter[leftover](),
		workqueue.TypedRateLimitingQueueConfig[leftover]{Clock: s.Clock})
	defer queue.ShutDown()
	for subject, kind := range map[reason.Subject]client.Object{reason.Pod: &corev1.Pod{}, reason.Node: &corev1.Node{}} {
		stop, err := follow(ctx, s.Cache, kind, func(o client.Object) {
			if wait, ok := s.due(o); ok {
				queue.AddAfter(leftover{subject, client.ObjectKeyFromObject(o)}, wait)
			}
		})
		if err != nil {
			return err
		}
		defer stop()
	}
	go s.work(ctx, queue)
	<-ctx.Done()
	return nil
}

// due tells in how long the object is to be swept, if there is something on it to sweep.
func (s *Sweeper) due(o client.Object) (time.Duration, bool) {
	wait, ok := s.leftoverDue(o)
	node, isNode := o.(*corev1.Node)
	if !isNode {
		return wait, ok
	}
	forget, survived := s.survivedDue(node)
	if !ok || survived && forget < wait {
		return forget, survived
	}
	return wait, ok
}

// leftoverDue tells in how long a reason of ours is to be taken off the object, if it has one and lives.
func (s *Sweeper) leftoverDue(o client.Object) (time.Duration, bool) {
	since, ok := s.Terminator.Leftover(o)
	return since.Add(sweepPrecision + s.After).Sub(s.Clock.Now()), ok
}

func (s *Sweeper) work(ctx context.Context, queue workqueue.TypedRateLimitingInterface[leftover]) {
	for {
		l, quit := queue.Get()
		if quit {
			return
		}
		switch wait, err := s.sweep(ctx, l); {
		case err != nil && ctx.Err() == nil:
			s.Log.Error(err, "leftover not taken off", "kind", l.subject.String(), "name", l.name.String())
			queue.AddRateLimited(l)
		case wait > 0:
			queue.AddAfter(l, wait)
		default:
			queue.Forget(l)
		}
		queue.Done(l)
	}
}

// sweep takes a leftover off if its time has come, and returns how long to wait if it has not.
func (s *Sweeper) sweep(ctx context.Context, l leftover) (wait time.Duration, err error) {
	var object client.Object = &corev1.Pod{}
	if l.subject == reason.Node {
		object = &corev1.Node{}
	}
	if err := s.Cache.Get(ctx, l.name, object); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	wait, ok := s.due(object)
	if !ok || wait > 0 {
		return wait, nil
	}
	if wait, ok := s.leftoverDue(object); ok && wait <= 0 {
		err = s.clear(ctx, object)
	} else if node, ok := object.(*corev1.Node); ok {
		err = s.forget(ctx, node)
	}
	if errors.Is(err, termination.ErrGone) || errors.Is(err, termination.ErrChanged) || apierrors.IsNotFound(err) {
		return 0, nil // gone, or written to: then another event follows
	}
	return 0, err
}

// clear takes off what was written for a deletion that did not come about.
func (s *Sweeper) clear(ctx context.Context, object client.Object) error {
	kind := reason.Pod
	if node, ok := object.(*corev1.Node); ok {
		kind = reason.Node
		if err := s.Obituaries.Retract(ctx, node); err != nil {
			return err
		}
	}
	if err := s.Terminator.Clear(ctx, object); err != nil {
		return err
	}
	s.Log.Info("reason taken off: the deletion did not come about", "kind", kind.String(), "name", client.ObjectKeyFromObject(object).String())
	return nil
}
