package netconsole

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// unmark takes the intent back.
func (p *panicHandler) unmark(ctx context.Context, k kernelPanic, because error) {
	p.events.retracted(k, because)
	p.brake.forget(k.uid)
	err := p.writeUntilDone(ctx, k.node, k.uid, func(node *corev1.Node) error {
		if _, marked := termination.MarkedDead(node); !marked {
			return nil
		}
		return p.terminator.UnmarkDead(ctx, node, k.reason())
	})
	if err != nil {
		p.log.Error(err, "intent not taken back", "node", k.node)
		return
	}
	if err := p.addEvidence(ctx, k.node, k.uid, k.evidence()); err != nil {
		p.log.Error(err, "evidence not written", "node", k.node)
	}
}

// addEvidence adds a piece of evidence to the node.
func (p *panicHandler) addEvidence(ctx context.Context, name string, uid types.UID,
	e reason.Evidence) error {
	return p.writeUntilDone(ctx, name, uid,
		func(node *corev1.Node) error { return p.terminator.AddEvidence(ctx, node, e) })
}

// writeUntilDone writes to the Node as it is now, and retries until that succeeds or the Node is
// gone.
func (p *panicHandler) writeUntilDone(ctx context.Context, name string, uid types.UID,
	write func(*corev1.Node) error) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := p.guard.Do("write to a node",
			func() error { return p.writeOnce(ctx, name, uid, write) })
		if err == nil {
			return nil
		}
		if !pause.For(ctx, p.clock, wait) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (p *panicHandler) writeOnce(ctx context.Context, name string, uid types.UID,
	write func(*corev1.Node) error) error {
	node := &corev1.Node{}
	err := p.live.Get(ctx, types.NamespacedName{Name: name}, node)
	if apierrors.IsNotFound(err) || err == nil && node.UID != uid {
		return nil
	}
	if err == nil {
		err = write(node)
	}
	if errors.Is(err, termination.ErrGone) {
		return nil
	}
	return err
}
