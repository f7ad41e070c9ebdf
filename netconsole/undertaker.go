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
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// Obituary keeps what a kernel said longer than its Node. It is called again after a failure, and by several replicas.
type Obituary interface {
	RecordPanic(ctx context.Context, node *corev1.Node, r reason.Reason, kernelLog []string) error
}

const (
	// takeOverAfter is how long the replica that condemned a node has before another one looks whether it still is there.
	takeOverAfter = 3 * time.Second
	// firstRetry and lastRetry are the waits between two tries of a step: doubled from one to the other.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
	// denouncePeriod is how often forgeries are spoken of.
	denouncePeriod = time.Second
)

// An undertaker tries nodes whose panic was heard and buries those that are dead: one case per node at a time.
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
	habits     *habits
	log        logr.Logger
	// answers asks user space for a sign of life.
	answers func(ctx context.Context, hosts []netip.Addr) bool

	mu sync.Mutex
	// cases are those that are open, and what was heard in them since.
	cases map[types.UID]*corroboration
	// denounced is when a forgery was last spoken of.
	denounced time.Time
	work      sync.WaitGroup
	// witnesses are the seats of those who write evidence.
	witnesses chan struct{}
}

// hear deals with a panic that was heard of a node. The Node is looked up last: a flood of panics must not cost a copy of it each.
func (u *undertaker) hear(ctx context.Context, d death) {
	if d.forged {
		u.denounce(d)
		u.dismiss(d.uid, d.words)
		return
	}
	if u.corroborate(d.uid, d.line, d.doubtful) {
		u.count(verdictKnown)
		return
	}
	bootID, there := u.bootOf(ctx, d)
	if !there {
		u.count(verdictGone)
		u.dismiss(d.uid, d.words)
		return
	}
	d.bootID, d.corroboration = bootID, &corroboration{}
	if !u.open(d, func() { u.judge(ctx, d) }) {
		u.count(verdictKnown)
	}
}

// bootOf is the boot that the Node is in now: a kernel that died a moment ago has not booted since.
func (u *undertaker) bootOf(ctx context.Context, d death) (bootID string, there bool) {
	node := &corev1.Node{}
	err := u.reader.Get(ctx, types.NamespacedName{Name: d.node}, node)
	return node.Status.NodeInfo.BootID, err == nil && node.UID == d.uid
}

func (u *undertaker) judge(ctx context.Context, d death) {
	v := u.try(ctx, d)
	d = d.corroborated()
	if v == verdictPending {
		return // the process ends; the verdict is another replica's
	}
	if v == verdictDead && !u.admits(ctx, d) {
		v = verdictBraked
	}
	u.count(v)
	u.metrics.trials.WithLabelValues(string(v)).Observe(u.clock.Since(d.heard).Seconds())
	u.log.Info("panic judged", "node", d.node, "verdict", string(v), "line", reason.Clean(d.line))
	if v != verdictDead {
		u.refuse(ctx, d, v)
		return
	}
	u.bury(ctx, &burial{undertaker: u, death: d})
}

// denounce refuses a forged panic. It opens no case, for a genuine one may follow; and it says so only now and then, for a
// flood of forgeries must not become a flood of Events.
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
	u.log.Info("panic judged", "node", d.node, "verdict", string(verdictForged), "line", reason.Clean(d.line))
	u.events.refused(d, verdictForged)
}

// refuse says aloud that a panic is not acted upon. What is true of it stays on the Node as evidence.
func (u *undertaker) refuse(ctx context.Context, d death, v verdict) {
	u.events.refused(d, v)
	if v != verdictRebooted && v != verdictBraked && v != verdictUnproven {
		return
	}
	if err := u.testify(ctx, d.node, d.uid, d.evidence()); err != nil {
		u.log.Error(err, "evidence not written", "node", d.node)
	}
}

// takeOver finishes what another replica, or this one before a restart, has begun with a condemned node. It proves the death
// anew: since the intent was written the node may have come back.
func (u *undertaker) takeOver(ctx context.Context, d death) {
	u.open(d, func() {
		if !u.wait(ctx, takeOverAfter) {
			return
		}
		u.bury(ctx, &burial{undertaker: u, death: d, inherited: true})
	})
}

// bury carries out the steps, and takes the intent back where the node turns out to live.
func (u *undertaker) bury(ctx context.Context, b *burial) {
	err := b.run(ctx)
	if errors.Is(err, errTaken) && u.wait(ctx, takeOverAfter) {
		b.inherited = true
		err = b.run(ctx)
	}
	switch {
	case err == nil:
		u.log.Info("node buried", "node", b.node, "inherited", b.inherited)
	case errors.Is(err, errGone):
		u.log.Info("node was buried by another hand", "node", b.node)
	case errors.Is(err, errAlive), errors.Is(err, errRebooted):
		u.log.Info("burial stopped", "node", b.node, "because", err.Error())
		u.pardon(ctx, b, err)
	default:
		u.log.Error(err, "burial interrupted", "node", b.node)
	}
}

func (u *undertaker) count(v verdict) { u.metrics.panics.WithLabelValues(string(v)).Inc() }

// wait returns false if the context ended first.
func (u *undertaker) wait(ctx context.Context, d time.Duration) bool {
	timer := u.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}
