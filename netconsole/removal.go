package netconsole

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// maxRereads bounds the immediate retries of the intent after somebody else wrote to the Node in
// between.
const maxRereads = 8

// Errors that end a removal before its last step.
var (
	errGone     = errors.New("the Node is gone")
	errRebooted = errors.New("the node has booted again")
	errAlive    = errors.New("the node's user space answers")
	errTaken    = errors.New("another replica removes the node")
)

// A step of a removal can be repeated at any time, by any replica.
type step struct {
	name string
	do   func(*removal, context.Context) error
}

// steps are in the order of a removal. The intent comes first: whoever reads it can finish whatever
// is changed afterwards. The obituary comes before the Node: once the Node is deleted, no replica
// can take anything up.
var steps = []step{
	{"intent", (*removal).markDead},
	{"pods", (*removal).terminatePods},
	{"obituary", (*removal).writeObituary},
	{"node", (*removal).deleteNode},
}

// A removal takes a node that is proven dead out of the cluster, with all that was bound to it.
type removal struct {
	kernelPanic
	// inherited is set if the intent was written by another replica, or before a restart.
	inherited bool
	// prove returns nil only if the node is dead in the boot that died.
	prove func(context.Context) error

	cache, live client.Reader
	terminator  *termination.Terminator
	obituary    Obituary
	keys        reason.KeySet
	// workers is how many pods are terminated at the same time.
	workers int
	clock   clock.Clock
	metrics *metrics
	guard   *guard.Guard
	log     logr.Logger
}

// run carries out the steps. Whoever inherits the work has already proven the death anew.
func (r *removal) run(ctx context.Context) error {
	for _, s := range steps {
		if err := r.retry(ctx, s); err != nil {
			return err
		}
		r.metrics.steps.WithLabelValues(s.name).Observe(r.clock.Since(r.heard).Seconds())
	}
	return nil
}

// retry tries a step until it succeeds or another try is pointless. Each further try first proves
// the death anew: while the API server was away the node may have come back.
func (r *removal) retry(ctx context.Context, s step) error {
	try := func() error { return s.do(r, ctx) }
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := r.guard.Do(s.name, try)
		if err == nil || final(err) {
			return err
		}
		r.metrics.retries.WithLabelValues(s.name).Inc()
		r.log.Info("step failed, will be retried", "step", s.name, "node", r.node,
			"error", reason.Clean(err.Error()))
		if !pause.For(ctx, r.clock, wait) {
			return ctx.Err()
		}
		try = func() error {
			if err := r.prove(ctx); err != nil {
				return err
			}
			return s.do(r, ctx)
		}
	}
}

func final(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, errRebooted) || errors.Is(err, errAlive) ||
		errors.Is(err, errTaken)
}

// markDead writes the intent onto the Node. If another replica's intent is already there, that
// replica does the work.
func (r *removal) markDead(ctx context.Context) error {
	read := r.cache
	for range maxRereads {
		node, err := r.confirm(ctx, read)
		if err != nil {
			return err
		}
		if _, marked := termination.MarkedDead(node); marked {
			if r.inherited {
				return nil
			}
			return errTaken
		}
		err = r.terminator.MarkDead(ctx, node, r.reason(), r.evidence())
		if errors.Is(err, termination.ErrUnwritable) {
			// Without the intent nobody can finish what this replica leaves undone, and two
			// replicas may do the same work. But the node is dead all the same.
			r.log.Error(err, "intent not written, removing the node without", "node", r.node)
			return nil
		}
		if !errors.Is(err, termination.ErrChanged) {
			return gone(err)
		}
		read = r.live
	}
	return fmt.Errorf("mark node %s dead: %w", r.node, termination.ErrChanged)
}

// writeObituary records what the kernel said.
func (r *removal) writeObituary(ctx context.Context) error {
	node, err := r.confirm(ctx, r.live)
	if err != nil {
		return err
	}
	if err := r.obituary.RecordPanic(ctx, node, r.reason(), r.words.lines()); err != nil {
		return fmt.Errorf("write the obituary of node %s: %w", r.node, err)
	}
	return nil
}

// deleteNode deletes the Node. It reads immediately before that the boot is still the one that
// died; the UID is a precondition of the deletion.
func (r *removal) deleteNode(ctx context.Context) error {
	node, err := r.confirm(ctx, r.live)
	if err != nil {
		return err
	}
	if err := r.terminator.Delete(ctx, node); !errors.Is(err, termination.ErrGone) {
		return err
	}
	return nil
}

// confirm reads the Node and makes sure that it is still the one that died, in the boot that died.
func (r *removal) confirm(ctx context.Context, from client.Reader) (*corev1.Node, error) {
	node := &corev1.Node{}
	err := from.Get(ctx, types.NamespacedName{Name: r.node}, node)
	switch {
	case apierrors.IsNotFound(err), err == nil && node.UID != r.uid:
		return nil, errGone
	case err != nil:
		return nil, fmt.Errorf("read node %s: %w", r.node, err)
	case node.Status.NodeInfo.BootID != r.bootID:
		return nil, errRebooted
	default:
		return node, nil
	}
}

func gone(err error) error {
	if errors.Is(err, termination.ErrGone) {
		return errGone
	}
	return err
}
