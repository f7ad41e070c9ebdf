package netconsole

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// Obituary keeps what a kernel said longer than its Node. It is called again after a failure, and
// by several replicas.
type Obituary interface {
	RecordPanic(ctx context.Context, node *corev1.Node, r reason.Reason, kernelLog []string) error
}

const (
	// takeOverAfter is how long the replica that marked a node dead has before another one looks
	// whether it still is there.
	takeOverAfter = 3 * time.Second
	// firstRetry and lastRetry are the waits between two tries of a step: doubled from one to the
	// other, so many times.
	firstRetry   = 50 * time.Millisecond
	lastRetry    = 5 * time.Second
	maxDoublings = 7
	// denouncePeriod is how often forgeries are spoken of.
	denouncePeriod = time.Second
	// mistrust is how long a node of which an untrue panic was heard is mistrusted: whoever told it
	// may tell another one.
	mistrust = time.Hour
)

// An undertaker tries nodes whose panic was heard and buries those that are dead: one case per node
// at a time.
type undertaker struct {
	config     config.Netconsole
	keys       reason.KeySet
	reader     client.Reader // a cache
	live       client.Reader
	terminator *termination.Terminator
	obituary   Obituary
	events     events
	clock      clock.Clock
	metrics    *metrics
	brake      *brake
	leases     *leases
	log        logr.Logger
	// answering are the nodes that answer while they live, and refuted those of which an untrue
	// panic was heard.
	answering, refuted *lately
	// answers asks user space for a sign of life.
	answers func(ctx context.Context, hosts []netip.Addr) bool

	mu    sync.Mutex
	cases cases
	// ended is set once nothing is looked at any more.
	ended bool
	// denounced is when a forgery was last spoken of.
	denounced time.Time
	// work is done when no case is open, no node is being buried, and no evidence is being written.
	work sync.WaitGroup
	// witnesses are the seats of those who write evidence.
	witnesses chan struct{}
}

// hear deals with a panic that was heard of a node. The Node is looked up last: a flood of panics
// must not cost a copy of it each.
func (u *undertaker) hear(ctx context.Context, d death) {
	if d.trust == trustNone {
		u.denounce(d)
		u.dismiss(d.uid, d.words)
		return
	}
	switch u.join(d) {
	case joinedCase:
		u.count(verdictKnown)
		return
	case joinedLater:
		return
	case joinedNone:
	}
	bootID, there := u.bootOf(ctx, d)
	if !there {
		u.count(verdictGone)
		u.dismiss(d.uid, d.words)
		return
	}
	d.bootID = bootID
	if !u.open(u.caseOf(d), 0) {
		u.count(verdictKnown)
	}
}

// caseOf is the case about a panic that was heard.
func (u *undertaker) caseOf(d death) *openCase {
	c := &openCase{death: d, trial: newTrial(u.config.ProofOfDeath, d.trust, d.heard)}
	c.trial.refuted = u.refuted.has(d.uid)
	return c
}

// bootOf is the boot that the Node is in now: a kernel that died a moment ago has not booted since.
func (u *undertaker) bootOf(ctx context.Context, d death) (bootID string, there bool) {
	node := &corev1.Node{}
	err := u.reader.Get(ctx, types.NamespacedName{Name: d.node}, node)
	return node.Status.NodeInfo.BootID, err == nil && node.UID == d.uid
}

// judge does what follows from a verdict.
func (u *undertaker) judge(ctx context.Context, c *openCase, v verdict) {
	u.mu.Lock()
	if c.judged {
		u.mu.Unlock()
		return
	}
	c.judged = true
	d, inherited := c.death, c.inherited
	u.mu.Unlock()
	if inherited {
		u.work.Go(func() {
			defer u.close(c)
			u.finish(ctx, d, v)
		})
		return
	}
	if v == verdictDead && !u.admits(ctx, d) {
		v = verdictBraked
	}
	u.count(v)
	u.metrics.trials.WithLabelValues(string(v)).Observe(u.clock.Since(d.heard).Seconds())
	u.log.Info("panic judged", "node", d.node, "verdict", string(v),
		"signed", d.trust == trustSigned, "line", reason.Clean(d.line))
	if v == verdictDead {
		u.work.Go(func() {
			defer u.close(c)
			u.bury(ctx, &burial{undertaker: u, death: d})
		})
		return
	}
	u.refuse(c, d, v)
}

// denounce refuses a forged panic. It opens no case, for a genuine one may follow; and it says so
// only now and then, for a flood of forgeries must not become a flood of Events.
func (u *undertaker) denounce(d death) {
	u.count(verdictForged)
	u.mu.Lock()
	now := u.clock.Now()
	silent := now.Sub(u.denounced) < denouncePeriod
	if !silent {
		u.denounced = now
	}
	u.mu.Unlock()
	if silent {
		return
	}
	u.log.Info("panic judged", "node", d.node, "verdict", string(verdictForged),
		"line", reason.Clean(d.line))
	u.events.refused(d, verdictForged)
}

// refuse says aloud that a panic is not acted upon. What is true of it stays on the Node as
// evidence: that a node is dead that the brake spares, and what is signed of one that came back, or
// whose death cannot be proven.
func (u *undertaker) refuse(c *openCase, d death, v verdict) {
	u.events.refused(d, v)
	if v == verdictAlive && d.trust != trustSigned {
		u.refuted.note(d.uid)
	}
	survived := v == verdictRebooted || v == verdictUnproven
	if v != verdictBraked && (!survived || d.trust != trustSigned) {
		u.close(c)
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	c.left = func(ctx context.Context) error {
		return u.writeOnce(ctx, d.node, d.uid, func(node *corev1.Node) error {
			return u.terminator.AddEvidence(ctx, node, d.evidence())
		})
	}
	u.cases.queue(c).Add(c.uid)
}

// takeOver finishes what another replica, or this one before a restart, has begun with a node
// marked dead. It proves the death anew: since the intent was written the node may have come back.
func (u *undertaker) takeOver(d death) {
	trial := newProofAnew(u.config.ProofOfDeath, d.trust, d.heard.Add(takeOverAfter))
	u.open(&openCase{death: d, trial: trial, inherited: true}, takeOverAfter)
}

// finish does what follows from a verdict about a node that was marked dead before.
func (u *undertaker) finish(ctx context.Context, d death, v verdict) {
	b := &burial{undertaker: u, death: d, inherited: true}
	switch v {
	case verdictDead:
		u.bury(ctx, b)
	case verdictRebooted:
		u.conclude(ctx, b, errRebooted)
	case verdictAlive:
		u.conclude(ctx, b, errAlive)
	case verdictGone:
		u.conclude(ctx, b, errGone)
	default:
		// Its Lease is gone: whoever sees the intent next tries again.
		u.log.Info("death of a node marked dead not proven", "node", d.node, "verdict", string(v))
	}
}

// bury carries out the steps.
func (u *undertaker) bury(ctx context.Context, b *burial) {
	err := b.run(ctx)
	if errors.Is(err, errTaken) && pause.For(ctx, u.clock, takeOverAfter) {
		b.inherited = true
		if err = b.proveAgain(ctx); err == nil {
			err = b.run(ctx)
		}
	}
	u.conclude(ctx, b, err)
}

// conclude tells how a burial ended, and takes the intent back where the node turns out to live.
func (u *undertaker) conclude(ctx context.Context, b *burial, err error) {
	switch {
	case err == nil:
		u.log.Info("node buried", "node", b.node, "inherited", b.inherited)
	case errors.Is(err, errGone):
		u.log.Info("node was buried by another hand", "node", b.node)
	case errors.Is(err, errAlive), errors.Is(err, errRebooted):
		u.log.Info("burial stopped", "node", b.node, "because", err.Error())
		u.unmark(ctx, b, err)
	default:
		u.log.Error(err, "burial interrupted", "node", b.node)
	}
}

func (u *undertaker) count(v verdict) { u.metrics.panics.WithLabelValues(string(v)).Inc() }
