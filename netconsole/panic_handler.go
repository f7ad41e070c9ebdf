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
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// Obituary keeps a kernel's words longer than its Node exists. It is called again after a failure,
// and by several replicas.
type Obituary interface {
	RecordPanic(ctx context.Context, node *corev1.Node, r reason.Reason, kernelLog []string) error
}

const (
	// takeOverAfter is how long the replica that marked a node dead has before another one checks
	// whether it is still there.
	takeOverAfter = 3 * time.Second
	// firstRetry and lastRetry are the shortest and the longest wait between two tries of a step.
	// The wait doubles from one to the other, maxDoublings times.
	firstRetry   = 50 * time.Millisecond
	lastRetry    = 5 * time.Second
	maxDoublings = 7
	// forgeryPeriod is the least time between two reports of forgeries.
	forgeryPeriod = time.Second
	// mistrust is how long a node is mistrusted after an untrue panic: whoever sent it may send
	// another.
	mistrust = time.Hour
)

// A panicHandler tries nodes whose panic was heard and removes those that are dead, with one case
// per node at a time.
type panicHandler struct {
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
	guard      *guard.Guard
	log        logr.Logger
	// answering are the nodes that answer while they live.
	answering *habits
	// refuted are those of which an untrue panic was heard.
	refuted *recent
	// answers probes user space for a sign of life. An error means that it could not be probed.
	answers func(ctx context.Context, hosts []netip.Addr, limit time.Duration) (bool, error)

	mu    sync.Mutex
	cases cases
	// ended is set once no more cases are examined.
	ended bool
	// toldOfForgery is when a forgery was last reported.
	toldOfForgery time.Time
	// work is done when no case is open, no node is being removed, and no evidence is being
	// written.
	work sync.WaitGroup
	// evidenceSeats bounds the writes of evidence under way.
	evidenceSeats chan struct{}
}

// hear handles a panic that was heard of a node. It looks the Node up last: a flood of panics must
// not cost a copy of it each.
func (p *panicHandler) hear(ctx context.Context, d kernelPanic) {
	if d.trust == trustNone {
		p.refuseForged(d)
		p.dismiss(d.uid, d.words)
		return
	}
	switch p.join(d) {
	case joinedCase:
		p.count(verdictKnown)
		return
	case joinedLater:
		return
	case joinedNone:
	}
	bootID, there := p.bootOf(ctx, d)
	if !there {
		p.count(verdictGone)
		p.dismiss(d.uid, d.words)
		return
	}
	d.bootID = bootID
	if !p.open(p.caseOf(d), 0) {
		p.count(verdictKnown)
	}
}

// caseOf returns a new case about a panic that was heard.
func (p *panicHandler) caseOf(d kernelPanic) *openCase {
	c := &openCase{kernelPanic: d, trial: newTrial(p.config.ProofOfDeath, d.trust, d.heard)}
	c.trial.refuted = p.refuted.has(d.uid)
	return c
}

// bootOf returns the boot that the Node is in now: a kernel that died a moment ago has not rebooted
// since.
func (p *panicHandler) bootOf(ctx context.Context, d kernelPanic) (bootID string, there bool) {
	node := &corev1.Node{}
	err := p.reader.Get(ctx, types.NamespacedName{Name: d.node}, node)
	return node.Status.NodeInfo.BootID, err == nil && node.UID == d.uid
}

// judge carries out a verdict.
func (p *panicHandler) judge(ctx context.Context, c *openCase, v verdict) {
	p.mu.Lock()
	if c.judged {
		p.mu.Unlock()
		return
	}
	c.judged = true
	d, inherited := c.kernelPanic, c.inherited
	p.mu.Unlock()
	if inherited {
		p.background(c, func() { p.finish(ctx, d, v) })
		return
	}
	if v == verdictDead && !p.admits(ctx, d) {
		v = verdictBraked
	}
	p.count(v)
	p.metrics.trials.WithLabelValues(string(v)).Observe(p.clock.Since(d.heard).Seconds())
	p.log.Info("panic judged", "node", d.node, "verdict", string(v),
		"signed", d.trust == trustSigned, "line", reason.Clean(d.line))
	if v == verdictDead {
		p.background(c, func() { p.remove(ctx, p.removalOf(d, false)) })
		return
	}
	p.refuse(c, d, v)
}

// background carries out a verdict, and closes the case. What a panic of ours leaves undone is
// taken up from the intent on the Node.
func (p *panicHandler) background(c *openCase, do func()) {
	p.work.Go(func() {
		defer p.close(c)
		p.guard.Run("removal of a node", do)
	})
}

// refuseForged refuses a forged panic. It opens no case, since a genuine one may follow. It reports
// only now and then: a flood of forgeries must not become a flood of Events.
func (p *panicHandler) refuseForged(d kernelPanic) {
	p.count(verdictForged)
	p.mu.Lock()
	now := p.clock.Now()
	silent := now.Sub(p.toldOfForgery) < forgeryPeriod
	if !silent {
		p.toldOfForgery = now
	}
	p.mu.Unlock()
	if silent {
		return
	}
	p.log.Info("panic judged", "node", d.node, "verdict", string(verdictForged),
		"line", reason.Clean(d.line))
	p.events.refused(d, verdictForged)
}

// refuse reports that a panic is not acted upon. What is true of it stays on the Node as evidence:
// the death of a node that the brake spares, and a signed panic of a node that came back, or whose
// death cannot be proven.
func (p *panicHandler) refuse(c *openCase, d kernelPanic, v verdict) {
	p.events.refused(d, v)
	if v == verdictAlive && d.trust != trustSigned {
		p.refuted.note(d.uid)
	}
	survived := v == verdictRebooted || v == verdictUnproven
	if v != verdictBraked && (!survived || d.trust != trustSigned) {
		p.close(c)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.left = func(ctx context.Context) error {
		return p.writeOnce(ctx, d.node, d.uid, func(node *corev1.Node) error {
			return p.terminator.AddEvidence(ctx, node, d.evidence())
		})
	}
	p.cases.queue(c).Add(c.uid)
}

// takeOver finishes what another replica, or this one before a restart, has begun with a node
// marked dead. It proves the death anew: the node may have come back since the intent was written.
func (p *panicHandler) takeOver(d kernelPanic) {
	trial := newProofAnew(p.config.ProofOfDeath, d.trust, d.heard.Add(takeOverAfter))
	p.open(&openCase{kernelPanic: d, trial: trial, inherited: true}, takeOverAfter)
}

// finish carries out a verdict about a node that was marked dead before.
func (p *panicHandler) finish(ctx context.Context, d kernelPanic, v verdict) {
	r := p.removalOf(d, true)
	switch v {
	case verdictDead:
		p.remove(ctx, r)
	case verdictRebooted:
		p.conclude(ctx, r, errRebooted)
	case verdictAlive:
		p.conclude(ctx, r, errAlive)
	case verdictGone:
		p.conclude(ctx, r, errGone)
	default:
		// It has no Lease now. The next to see the intent tries again.
		p.log.Info("death of a node marked dead not proven", "node", d.node, "verdict", string(v))
	}
}

// removalOf returns the removal of a node that died of the panic.
func (p *panicHandler) removalOf(d kernelPanic, inherited bool) *removal {
	return &removal{
		kernelPanic: d, inherited: inherited,
		prove: func(ctx context.Context) error { return p.proveAgain(ctx, d) },
		cache: p.reader, live: p.live, terminator: p.terminator, obituary: p.obituary,
		keys: p.keys, workers: p.config.Workers,
		clock: p.clock, metrics: p.metrics, guard: p.guard, log: p.log,
	}
}

// remove carries out the steps.
func (p *panicHandler) remove(ctx context.Context, r *removal) {
	err := r.run(ctx)
	if errors.Is(err, errTaken) && pause.For(ctx, p.clock, takeOverAfter) {
		r.inherited = true
		if err = r.prove(ctx); err == nil {
			err = r.run(ctx)
		}
	}
	p.conclude(ctx, r, err)
}

// proveAgain returns nil only if the node is dead in the boot that died.
func (p *panicHandler) proveAgain(ctx context.Context, d kernelPanic) error {
	c := &openCase{kernelPanic: d, inherited: true,
		trial: newProofAnew(p.config.ProofOfDeath, d.trust, p.clock.Now())}
	for {
		v, wait := p.look(ctx, c)
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
			c.trial, wait = newProofAnew(p.config.ProofOfDeath, d.trust, p.clock.Now()), lastRetry
		default: // not decided yet
		}
		if !pause.For(ctx, p.clock, wait) {
			return ctx.Err()
		}
	}
}

// conclude reports how a removal ended, and takes the intent back if the node turns out to be
// alive.
func (p *panicHandler) conclude(ctx context.Context, r *removal, err error) {
	switch {
	case err == nil:
		p.log.Info("node removed", "node", r.node, "inherited", r.inherited)
	case errors.Is(err, errGone):
		p.log.Info("node was removed by somebody else", "node", r.node)
	case errors.Is(err, errAlive), errors.Is(err, errRebooted):
		p.log.Info("removal stopped", "node", r.node, "because", err.Error())
		p.unmark(ctx, r.kernelPanic, err)
	default:
		p.log.Error(err, "removal interrupted", "node", r.node)
	}
}

func (p *panicHandler) count(v verdict) { p.metrics.panics.WithLabelValues(string(v)).Inc() }
