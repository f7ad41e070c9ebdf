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

// run carries out the steps. Whoever inherits the work has proven the death anew before.
func (b *burial) run(ctx context.Context) error {
	for _, s := range steps {
		if err := b.persist(ctx, s); err != nil {
			return err
		}
		b.metrics.steps.WithLabelValues(s.name).Observe(b.clock.Since(b.heard).Seconds())
	}
	return nil
}

// persist tries a step until it is done or there is no more sense in it. Each further try needs the
// proof anew: while the API server was away the node may have come back.
func (b *burial) persist(ctx context.Context, s step) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := s.do(b, ctx)
		if err == nil || final(err) {
			return err
		}
		b.metrics.retries.WithLabelValues(s.name).Inc()
		b.log.Info("step failed, is tried again", "step", s.name, "node", b.node,
			"error", reason.Clean(err.Error()))
		if !pause.For(ctx, b.clock, wait) {
			return ctx.Err()
		}
		if err := b.proveAgain(ctx); err != nil {
			return err
		}
	}
}

func final(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, errRebooted) || errors.Is(err, errAlive) ||
		errors.Is(err, errTaken)
}

// proveAgain returns nil only if the node is dead in the boot that died.
func (b *burial) proveAgain(ctx context.Context) error {
	c := &openCase{death: b.death, trial: newProofAnew(b.config.ProofOfDeath, b.trust,
		b.clock.Now()), inherited: true}
	for {
		v, wait := b.look(ctx, c)
		switch v {
		case verdictDead:
			return nil
		case verdictRebooted:
			return errRebooted
		case verdictGone:
			return errGone
		case verdictAlive:
			return errAlive
		case verdictUnproven: // it has no Lease now
			c.trial, wait = newProofAnew(b.config.ProofOfDeath, b.trust, b.clock.Now()), lastRetry
		default: // it is not decided yet
		}
		if !pause.For(ctx, b.clock, wait) {
			return ctx.Err()
		}
	}
}

// unmark takes the intent back.
func (u *undertaker) unmark(ctx context.Context, b *burial, because error) {
	u.events.retracted(b.death, because)
	u.brake.forget(b.uid)
	err := u.insist(ctx, b.node, b.uid, func(node *corev1.Node) error {
		if _, marked := termination.MarkedDead(node); !marked {
			return nil
		}
		return u.terminator.UnmarkDead(ctx, node, b.reason())
	})
	if err != nil {
		u.log.Error(err, "intent not taken back", "node", b.node)
		return
	}
	if err := u.testify(ctx, b.node, b.uid, b.evidence()); err != nil {
		u.log.Error(err, "evidence not written", "node", b.node)
	}
}

// testify adds a piece of evidence to the node.
func (u *undertaker) testify(ctx context.Context, name string, uid types.UID,
	e reason.Evidence) error {
	return u.insist(ctx, name, uid,
		func(node *corev1.Node) error { return u.terminator.AddEvidence(ctx, node, e) })
}

// insist writes to the Node as it is now, again and again, until it is written or the Node is gone.
func (u *undertaker) insist(ctx context.Context, name string, uid types.UID,
	write func(*corev1.Node) error) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := u.writeOnce(ctx, name, uid, write)
		if err == nil {
			return nil
		}
		if !pause.For(ctx, u.clock, wait) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (u *undertaker) writeOnce(ctx context.Context, name string, uid types.UID,
	write func(*corev1.Node) error) error {
	node := &corev1.Node{}
	err := u.live.Get(ctx, types.NamespacedName{Name: name}, node)
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
