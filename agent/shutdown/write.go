package shutdown

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

const (
	// defaultDelay is logind's own default, used if it does not say how long it waits.
	defaultDelay = 5 * time.Second
	// margin is how long before the end of logind's patience we stop.
	margin = 500 * time.Millisecond
	// askTimeout bounds the question for that delay.
	askTimeout = 300 * time.Millisecond
	// attemptTimeout bounds one attempt to write, so that there is time for another.
	attemptTimeout = 1500 * time.Millisecond
	// writePause is the pause between two attempts.
	writePause = 100 * time.Millisecond
	// forgetPause is the pause between two attempts to remove evidence, which nobody waits for.
	forgetPause = 10 * time.Second
)

// patience is how long a shutdown is held up at most: as long as logind waits, which a kubelet may
// have raised to minutes, but no longer than the configuration allows.
func (w *Watcher) patience(ctx context.Context, bus Bus) time.Duration {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	patience, err := bus.MaxDelay(asking)
	if err != nil {
		patience = defaultDelay
	}
	return min(w.Config.MaxDelay.Duration, max(patience-margin, margin))
}

// write writes the evidence onto the Node, and retries for as long as there is time.
func (w *Watcher) write(ctx context.Context, e reason.Evidence) error {
	return w.writeUntilDone(ctx, writePause, func(ctx context.Context, node *corev1.Node) error {
		// Evidence of an earlier shutdown in this boot must not be taken for this one's.
		known, err := reason.EvidenceOn(node)
		if err == nil && slices.ContainsFunc(known, w.isOurs) {
			if err := w.Terminator.RemoveEvidence(ctx, node, w.isOurs); err != nil {
				return err
			}
			if node, err = w.node(ctx); err != nil {
				return err
			}
		}
		return w.Terminator.AddEvidence(ctx, node, e)
	})
}

// forget removes, in the background, evidence of a shutdown of this boot that did not take place.
// Evidence of another boot stays for a while, since pods that ended then may still be asked about;
// the manager removes it.
func (w *Watcher) forget(ctx context.Context) {
	w.unforget()
	ctx, w.unforget = context.WithCancel(ctx)
	w.working.Go(func() {
		err := w.writeUntilDone(ctx, forgetPause,
			func(ctx context.Context, node *corev1.Node) error {
				return w.Terminator.RemoveEvidence(ctx, node, w.isOurs)
			})
		if err != nil && ctx.Err() == nil {
			w.Log.Error(err, "evidence not removed")
		}
	})
}

func (w *Watcher) isOurs(e reason.Evidence) bool { return e.OfShutdown() && e.BootID == w.BootID }

// writeUntilDone does something with the Node as it is now, and retries until it succeeds or the
// context ends. A Node that is gone needs nothing.
func (w *Watcher) writeUntilDone(ctx context.Context, between time.Duration,
	do func(context.Context, *corev1.Node) error) error {
	for {
		err := w.attempt(ctx, do)
		if err == nil || errors.Is(err, termination.ErrGone) {
			return err
		}
		if !pause.For(ctx, w.Clock, between) {
			return err
		}
	}
}

func (w *Watcher) attempt(ctx context.Context, do func(context.Context, *corev1.Node) error) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	node, err := w.node(ctx)
	if err != nil {
		return err
	}
	return do(ctx, node)
}

func (w *Watcher) node(ctx context.Context) (*corev1.Node, error) {
	node := &corev1.Node{}
	if err := w.Live.Get(ctx, types.NamespacedName{Name: w.Node}, node); err != nil {
		return nil, fmt.Errorf("get node %s: %w", w.Node, err)
	}
	return node, nil
}
