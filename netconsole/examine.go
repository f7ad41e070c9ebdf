package netconsole

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

// look takes a case as far as possible now: to a verdict, or until it has to wait. It also returns
// verdictPending when the context ends.
func (p *panicHandler) look(ctx context.Context, c *openCase) (v verdict, wait time.Duration) {
	for ctx.Err() == nil {
		node, v := p.same(ctx, p.known(c))
		if v != verdictPending {
			return v, 0
		}
		if node == nil {
			return verdictPending, betweenRounds
		}
		s := p.next(c, node)
		switch {
		case s.verdict != verdictPending:
			return s.verdict, 0
		case s.probe:
			p.round(ctx, c, node, s.confirm)
		default:
			if s.observe {
				p.leases.ask(ctx, node.Name)
			}
			return verdictPending, s.wait
		}
	}
	return verdictPending, betweenRounds
}

// next asks the case's trial for the next move.
func (p *panicHandler) next(c *openCase, node *corev1.Node) move {
	f := facts{lease: p.leases.of(node.Name), habitual: p.answering.speaks(node.UID),
		leaving: leaves(node)}
	p.mu.Lock()
	defer p.mu.Unlock()
	return c.trial.next(p.clock.Now(), f)
}

// same returns the Node if it is still the one that panicked, in the same boot; nil while the cache
// cannot tell.
func (p *panicHandler) same(ctx context.Context, d kernelPanic) (*corev1.Node, verdict) {
	node := &corev1.Node{}
	err := p.reader.Get(ctx, types.NamespacedName{Name: d.node}, node)
	switch {
	case apierrors.IsNotFound(err), err == nil && node.UID != d.uid:
		return nil, verdictGone
	case err != nil:
		p.log.Info("node not read", "node", d.node, "error", reason.Clean(err.Error()))
		return nil, verdictPending
	case node.Status.NodeInfo.BootID != d.bootID:
		return nil, verdictRebooted
	default:
		return node, verdictPending
	}
}

// leaves reports whether the node is shutting down in an orderly way, according to its agent or its
// kubelet.
func leaves(node *corev1.Node) bool {
	// The message is from pkg/kubelet/nodestatus/setters.go, for a graceful shutdown of the
	// kubelet.
	const kubeletSays = "node is shutting down"
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue &&
			strings.Contains(c.Message, kubeletSays) {
			return true
		}
	}
	evidence, err := reason.EvidenceOn(node)
	if err != nil {
		return false
	}
	for _, e := range evidence {
		if e.OfShutdown() && !e.Late() && e.BootID == node.Status.NodeInfo.BootID {
			return true
		}
	}
	return false
}

// round looks for signs of life in user space once, with several probes; each may still be running
// when the next one starts.
func (p *panicHandler) round(ctx context.Context, c *openCase, node *corev1.Node, confirm bool) {
	start := p.clock.Now()
	answered := p.anyAnswer(ctx, node)
	if ctx.Err() != nil {
		return
	}
	held := ""
	if !answered && confirm {
		var err error
		if held, err = p.leases.read(ctx, node.Name); err != nil {
			p.log.Info("lease not read", "node", node.Name, "error", reason.Clean(err.Error()))
		}
	}
	p.mu.Lock()
	c.trial.took(start, answered, held)
	say := answered && !c.doubted && !c.inherited
	c.doubted = c.doubted || say
	d := c.kernelPanic
	p.mu.Unlock()
	if say {
		p.events.doubted(d)
	}
}

// anyAnswer starts the probes of a round. It returns at the first answer, or when all have failed.
func (p *panicHandler) anyAnswer(ctx context.Context, node *corev1.Node) bool {
	proof, limit := p.config.ProofOfDeath, p.answering.wait(node.UID)
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan bool, proof.Attempts)
	started, ended := 0, 0
	defer func() {
		cancel()
		for ; ended < started; ended++ {
			<-answers
		}
	}()
	timer := p.clock.NewTimer(0)
	defer timer.Stop()
	for ended < proof.Attempts {
		select {
		case <-ctx.Done():
			return false
		case answered := <-answers:
			if ended++; answered {
				return true
			}
		case <-timer.C():
			if started < proof.Attempts {
				started++
				go func() {
					answered, err := p.ask(ctx, node, limit)
					// A node that could not be probed does not count as silent: only silence can do
					// harm.
					answers <- answered || err != nil
				}()
				timer.Reset(proof.Interval.Duration)
			}
		}
	}
	return false
}

// ask probes user space for a sign of life, and notes the habit of a node that gives one.
func (p *panicHandler) ask(ctx context.Context, node *corev1.Node,
	limit time.Duration) (answered bool, err error) {
	began := p.clock.Now()
	err = p.guard.Do("probe", func() error {
		answered, err = p.answers(ctx, addressesOf(node), limit)
		return err
	})
	if answered && err == nil {
		p.answering.note(node.UID, p.clock.Since(began))
	}
	return answered, err
}
