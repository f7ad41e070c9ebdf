package netconsole

import (
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// maxQuietProbes is how many nodes are probed at the same time in quiet rounds.
const maxQuietProbes = 32

// quietRounds learns, round after round, which nodes answer while nothing is wrong.
func (p *panicHandler) quietRounds(ctx context.Context) {
	for {
		err := p.guard.Do("quiet round", func() error { return p.quietRound(ctx) })
		if err != nil && ctx.Err() == nil {
			p.log.Info("quiet round failed", "error", reason.Clean(err.Error()))
		}
		if !pause.For(ctx, p.clock, p.config.ProofOfDeath.QuietRound.Duration) {
			return
		}
	}
}

// quietRound probes every node once, and takes up those marked dead that no event drew attention
// to.
func (p *panicHandler) quietRound(ctx context.Context) error {
	p.answering.forget()
	p.refuted.forget()
	nodes := &corev1.NodeList{}
	if err := p.reader.List(ctx, nodes, client.UnsafeDisableDeepCopy); err != nil {
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
			p.takeOver(panicOnRecord(node, e, p.clock.Now()))
		}
		seats <- struct{}{}
		probes.Go(func() {
			defer func() { <-seats }()
			// What is probed in vain, and probably gone, must not keep the others waiting.
			limit := p.answering.listen()
			if heardOfNoMore(node) {
				limit = p.config.ProofOfDeath.Timeout.Duration
			}
			_, _ = p.ask(ctx, node, limit)
		})
	}
	return nil
}

// heardOfNoMore reports whether the node lifecycle controller has given the node up.
func heardOfNoMore(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown
	})
}
