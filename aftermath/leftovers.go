package aftermath

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// A Clearer recognises and removes what we wrote onto an object that then lived on, and removes
// evidence from a node that survived it. It is *termination.Terminator.
type Clearer interface {
	Leftover(obj client.Object) (since time.Time, ok bool)
	Clear(ctx context.Context, obj client.Object) error
	RemoveEvidence(ctx context.Context, node *corev1.Node,
		survived func(reason.Evidence) bool) error
}

// A Retractor retracts the record of a node that did not leave after all.
type Retractor interface {
	Retract(ctx context.Context, node *corev1.Node) error
}

// A Sweeper removes reasons from objects whose deletion was refused, timed out or conflicted, since
// a later, different end must not inherit them, and evidence from nodes that survived it. It
// reconciles one kind of object, Pods or Nodes.
type Sweeper struct {
	// Cache holds the objects.
	Cache client.Reader
	// Kind is the kind to sweep: a Pod or a Node.
	Kind client.Object
	// After is how long an object may live on with a reason of ours.
	After      time.Duration
	Terminator Clearer
	Obituaries Retractor
	Clock      clock.PassiveClock
	Log        logr.Logger
}

// sweepPrecision is added to After, since marks have a precision of minutes.
const sweepPrecision = time.Minute

// maxAhead is by how much we assume the clocks of replicas to differ at most.
const maxAhead = 10 * time.Minute

// Concerns reports whether the object has something to sweep, now or later.
func (s *Sweeper) Concerns(o client.Object) bool {
	_, ok := s.due(o)
	return ok
}

// due returns after how long to sweep the object, if it has something to sweep.
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

// leftoverDue returns after how long to remove a reason of ours from the object, if it has one and
// lives. A mark from the future is due at once: whoever may write to the object can write any time,
// and nothing may wait until the year 9999.
func (s *Sweeper) leftoverDue(o client.Object) (time.Duration, bool) {
	since, ok := s.Terminator.Leftover(o)
	now := s.Clock.Now()
	if since.After(now.Add(maxAhead)) {
		return 0, ok
	}
	return since.Add(sweepPrecision + s.After).Sub(now), ok
}

// Reconcile removes a leftover or evidence if that is due, else waits until it is.
func (s *Sweeper) Reconcile(ctx context.Context,
	request reconcile.Request) (reconcile.Result, error) {
	object := s.Kind.DeepCopyObject().(client.Object)
	if err := s.Cache.Get(ctx, request.NamespacedName, object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	wait, ok := s.due(object)
	if !ok || wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	var err error
	if wait, ok := s.leftoverDue(object); ok && wait <= 0 {
		err = s.clear(ctx, object)
	} else if node, ok := object.(*corev1.Node); ok {
		err = s.forget(ctx, node)
	}
	if errors.Is(err, termination.ErrGone) || errors.Is(err, termination.ErrChanged) ||
		apierrors.IsNotFound(err) {
		return reconcile.Result{}, nil // gone, or written to: then another event follows
	}
	return reconcile.Result{}, err
}

// clear removes what was written for a deletion that did not happen.
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
	s.Log.Info("reason removed: the deletion did not happen", "kind", kind.String(),
		"name", client.ObjectKeyFromObject(object).String())
	return nil
}
