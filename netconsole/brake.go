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
// this replica declares, those that it sees others declare on the Nodes, and those on record: so it
// holds over a restart, and over replicas. It is no lock: replicas that judge at the same moment do
// not see each other's intents yet, so each of them may admit as many.
type brake struct {
	config config.Brake

	mu     sync.Mutex
	deaths map[types.UID]time.Time
}

func newBrake(c config.Brake) *brake {
	return &brake{config: c, deaths: map[types.UID]time.Time{}}
}

// admit tells whether the node may be declared dead now, and counts it if so. A node that is
// counted already stays admitted.
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

// note counts a death that was declared already.
func (b *brake) note(node types.UID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	if _, counted := b.deaths[node]; !counted {
		b.deaths[node] = now
	}
}

// forget no longer counts a node that turned out to live.
func (b *brake) forget(node types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.deaths, node)
}

// expire drops what is older than the window, which bounds the memory by the nodes that die within
// one.
func (b *brake) expire(now time.Time) {
	for node, at := range b.deaths {
		if now.Sub(at) >= b.config.Window.Duration {
			delete(b.deaths, node)
		}
	}
}

// admits tells whether the brake lets the node be declared dead. A brake that cannot read what is
// on record lets nobody.
func (u *undertaker) admits(ctx context.Context, d death) bool {
	now := u.clock.Now()
	if err := u.recall(ctx, now); err != nil {
		u.log.Error(err, "brake shut: it is not known how many nodes died lately", "node", d.node)
		return false
	}
	return u.brake.admit(d.uid, now)
}

// recall counts the nodes that are on record to have panicked within the window: those with the
// words of their kernel, which only this listener writes. What else a record says may be somebody
// else's claim, which must not keep nodes from being buried.
func (u *undertaker) recall(ctx context.Context, now time.Time) error {
	all := &v1alpha1.NodeObituaryList{}
	if err := u.reader.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the obituaries of nodes: %w", err)
	}
	for n := range all.Items {
		o := &all.Items[n]
		left := audit.LeftAt(o)
		ours := o.Spec.Code == string(reason.KernelPanic) && o.Spec.By == reason.ByNetconsole &&
			len(o.Spec.KernelLog) > 0
		if ours && now.Sub(left) < u.config.Brake.Window.Duration {
			u.brake.note(o.Spec.NodeUID, left)
		}
	}
	return nil
}
