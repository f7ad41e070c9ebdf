package netconsole

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// maxQuietProbes is how many nodes are asked at the same time in quiet rounds.
const maxQuietProbes = 32

// quietRounds learns, round after round, which nodes answer while nothing is wrong.
func (u *undertaker) quietRounds(ctx context.Context) {
	for {
		if err := u.quietRound(ctx); err != nil && ctx.Err() == nil {
			u.log.Info("quiet round failed", "error", reason.Clean(err.Error()))
		}
		if !pause.For(ctx, u.clock, u.config.ProofOfDeath.QuietRound.Duration) {
			return
		}
	}
}

// quietRound asks every node once, and takes up those marked dead that no event drew attention to.
func (u *undertaker) quietRound(ctx context.Context) error {
	u.answering.forget()
	u.refuted.forget()
	nodes := &corev1.NodeList{}
	if err := u.reader.List(ctx, nodes, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	var (
		probes sync.WaitGroup
		seats  = make(chan struct{}, maxQuietProbes)
	)
	defer probes.Wait()
	for n := range nodes.Items {
		node := &nodes.Items[n]
		if e, marked := termination.MarkedDead(node); marked {
			u.takeOver(deathOf(node, e, u.clock.Now()))
		}
		seats <- struct{}{}
		probes.Go(func() {
			defer func() { <-seats }()
			if u.answers(ctx, addressesOf(node)) {
				u.answering.note(node.UID)
			}
		})
	}
	return nil
}
