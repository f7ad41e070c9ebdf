package netconsole

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A brake limits how many nodes may be declared dead within a window. It counts the deaths that
// this replica declares, those that it sees others declare on the Nodes, and those on record, so it
// holds across restarts and replicas. It is no lock: replicas that judge at the same moment do not
// see each other's intents yet, so each of them may admit as many.
type brake struct {
	config config.Brake

	mu     sync.Mutex
	deaths map[types.UID]time.Time
}

func newBrake(c config.Brake) *brake {
	return &brake{config: c, deaths: map[types.UID]time.Time{}}
}

// admit reports whether the node may be declared dead now, and counts it if so. A node that is
// already counted stays admitted.
func (b *brake) admit(node types.UID, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	if _, counted := b.deaths[node]; counted {
		return true
	}
	if len(b.deaths) >= b.config.Nodes {
		return false
	}
	b.deaths[node] = now
	return true
}

// note counts a death that has already been declared.
func (b *brake) note(node types.UID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	if _, counted := b.deaths[node]; !counted {
		b.deaths[node] = now
	}
}

// forget stops counting a node that turned out to be alive.
func (b *brake) forget(node types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.deaths, node)
}

// expire drops what is older than the window, which bounds the memory by the number of nodes that
// die within one window.
func (b *brake) expire(now time.Time) {
	for node, at := range b.deaths {
		if now.Sub(at) >= b.config.Window.Duration {
			delete(b.deaths, node)
		}
	}
}

// admits reports whether the brake lets the node be declared dead. A brake that cannot read the
// records admits no node.
func (p *panicHandler) admits(ctx context.Context, d kernelPanic) bool {
	now := p.clock.Now()
	if err := p.recall(ctx, now); err != nil {
		p.log.Error(err, "brake shut: how many nodes died recently is unknown", "node", d.node)
		return false
	}
	return p.brake.admit(d.uid, now)
}

// recall counts the nodes that panicked within the window according to their obituaries: those with
// a kernel log, which only this listener writes. Anything else in a record may be somebody else's
// claim, which must not keep nodes from being removed.
func (p *panicHandler) recall(ctx context.Context, now time.Time) error {
	all := &v1alpha1.NodeObituaryList{}
	if err := p.reader.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the obituaries of nodes: %w", err)
	}
	for n := range all.Items {
		o := &all.Items[n]
		left := audit.LeftAt(o)
		ours := o.Spec.Code == string(reason.KernelPanic) && o.Spec.By == reason.ByNetconsole &&
			len(o.Spec.KernelLog) > 0
		if ours && now.Sub(left) < p.config.Brake.Window.Duration {
			p.brake.note(o.Spec.NodeUID, left)
		}
	}
	return nil
}
