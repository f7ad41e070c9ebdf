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

// look goes as far with a case as can be gone now: to a verdict, or until it has to wait. It is
// verdictPending, too, where the context ends.
func (u *undertaker) look(ctx context.Context, c *openCase) (v verdict, wait time.Duration) {
	for ctx.Err() == nil {
		node, v := u.same(ctx, u.known(c))
		if v != verdictPending {
			return v, 0
		}
		if node == nil {
			return verdictPending, betweenRounds
		}
		s := u.next(c, node)
		switch {
		case s.verdict != verdictPending:
			return s.verdict, 0
		case s.probe:
			u.round(ctx, c, node, s.confirm)
		default:
			if s.observe {
				u.leases.ask(ctx, node.Name)
			}
			return verdictPending, s.wait
		}
	}
	return verdictPending, betweenRounds
}

// next asks the case's trial what is to be done.
func (u *undertaker) next(c *openCase, node *corev1.Node) move {
	f := facts{lease: u.leases.of(node.Name), habitual: u.answering.has(node.UID),
		leaving: leaves(node)}
	u.mu.Lock()
	defer u.mu.Unlock()
	return c.trial.next(u.clock.Now(), f)
}

// same returns the Node if it still is the one that panicked, in the same boot; nil while the cache
// cannot tell.
func (u *undertaker) same(ctx context.Context, d death) (*corev1.Node, verdict) {
	node := &corev1.Node{}
	err := u.reader.Get(ctx, types.NamespacedName{Name: d.node}, node)
	switch {
	case apierrors.IsNotFound(err), err == nil && node.UID != d.uid:
		return nil, verdictGone
	case err != nil:
		u.log.Info("node not read", "node", d.node, "error", reason.Clean(err.Error()))
		return nil, verdictPending
	case node.Status.NodeInfo.BootID != d.bootID:
		return nil, verdictRebooted
	default:
		return node, verdictPending
	}
}

// leaves tells whether the node is going down in good order: by what its agent has found, or by
// what its kubelet says.
func leaves(node *corev1.Node) bool {
	// The message is pkg/kubelet/nodestatus/setters.go's, for a kubelet that shuts down gracefully.
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

// round looks for life in user space once: with several probes, each of which may still be under
// way when the next one starts.
func (u *undertaker) round(ctx context.Context, c *openCase, node *corev1.Node, confirm bool) {
	start := u.clock.Now()
	answered := u.anyAnswer(ctx, node)
	if ctx.Err() != nil {
		return
	}
	held := ""
	if answered {
		u.answering.note(node.UID)
	} else if confirm {
		var err error
		if held, err = u.leases.read(ctx, node.Name); err != nil {
			u.log.Info("lease not read", "node", node.Name, "error", reason.Clean(err.Error()))
		}
	}
	u.mu.Lock()
	c.trial.took(start, answered, held)
	say := answered && !c.doubted && !c.inherited
	c.doubted = c.doubted || say
	d := c.death
	u.mu.Unlock()
	if say {
		u.events.doubted(d)
	}
}

// anyAnswer starts the probes of a round, and returns at the first answer, or when none came.
func (u *undertaker) anyAnswer(ctx context.Context, node *corev1.Node) bool {
	proof, hosts := u.config.ProofOfDeath, addressesOf(node)
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan bool, proof.Attempts)
	started, ended := 0, 0
	defer func() {
		cancel()
		for ; ended < started; ended++ {
			<-answers
		}
	}()
	timer := u.clock.NewTimer(0)
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
				go func() { answers <- u.answers(ctx, hosts) }()
				timer.Reset(proof.Interval.Duration)
			}
		}
	}
	return false
}
