package netconsole

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/config"
)

// A brake limits how many nodes may be declared dead within a window. It counts the deaths that this replica declares and
// those that it sees others declare on the Nodes. It is no lock: replicas that judge at the same moment do not see each other's
// intents yet, so each of them may admit as many; and after a restart the Nodes that are gone already are not counted.
type brake struct {
	config config.Brake

	mu     sync.Mutex
	deaths map[types.UID]time.Time
}

func newBrake(c config.Brake) *brake {
	return &brake{config: c, deaths: map[types.UID]time.Time{}}
}

// admit tells whether the node may be declared dead now, and counts it if so. A node that is counted already stays admitted.
func (b *brake) admit(node types.UID, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(now)
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
	b.forget(now)
	if _, counted := b.deaths[node]; !counted {
		b.deaths[node] = now
	}
}

// forget drops what is older than the window, which bounds the memory by the nodes that die within one.
func (b *brake) forget(now time.Time) {
	for node, at := range b.deaths {
		if now.Sub(at) >= b.config.Window.Duration {
			delete(b.deaths, node)
		}
	}
}
