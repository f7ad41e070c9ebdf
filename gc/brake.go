package gc

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/epitaph-k8s/epitaph/config"
)

// A brake holds the pods of nodes that are gone unexplained while those are an implausible share of
// all nodes. An outage of the network or of a zone, a mistaken script, or an etcd restored without
// its Nodes looks just like the death of many nodes, and deleted pods do not come back. The brake
// ignores nodes that left with a reason.
//
// It decides from the objects in the API server alone ([Collector.lossesNow]), so every replica
// decides the same, at any time and after any number of restarts. What it remembers only saves work
// and repeated messages.
type brake struct {
	config config.GCBrake

	mu sync.Mutex
	// missed are the names that pods are bound to although no Node has them.
	missed sets.Set[string]
	// last are the losses as last counted, at the time at.
	last losses
	at   time.Time
	// holding are the nodes whose pods the brake holds.
	holding sets.Set[string]
}

func newBrake(c config.GCBrake) *brake {
	return &brake{config: c, missed: sets.New[string](), holding: sets.New[string]()}
}

// losses are the nodes that are gone unexplained.
type losses struct {
	// lost maps each node to when it left or was first missed.
	lost map[string]time.Time
	// returned are names that are back: their Nodes are young, but replace no other.
	returned sets.Set[string]
}

// newest is when the last of them left.
func (l losses) newest() time.Time {
	var last time.Time
	for _, at := range l.lost {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// with adds a node, unless it is already counted.
func (l losses) with(node string, at time.Time) losses {
	if _, ok := l.lost[node]; ok {
		return l
	}
	lost := maps.Clone(l.lost)
	lost[node] = at
	return losses{lost, l.returned}
}

// A sighting is what we know about a name that no Node has.
type sighting struct {
	absence
	// wasNode is set if the name is known to have been a Node's. Pods bound to it do not prove
	// that: their author may have invented the name.
	wasNode bool
	// hasPods is set if there are pods still to be terminated.
	hasPods bool
}

// counts reports whether it is a loss by itself: it is, however long it has been gone, while it has
// pods that nobody has released.
func (s sighting) counts() bool { return s.wasNode && s.hasPods && !s.explained && !s.released() }

// implausible reports whether lost are too many nodes to have died at once. here is how many Nodes
// are left.
func implausible(c config.GCBrake, lost, here int) bool {
	return c.Enabled && lost >= c.MinNodes && lost*100 > c.MaxPercent*(lost+here)
}

// miss notes that a pod is bound to a name that no Node has.
func (b *brake) miss(node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missed.Insert(node)
}

// back forgets a name: a Node has it again, or none of its pods is left.
func (b *brake) back(node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missed.Delete(node)
	b.holding.Delete(node)
}

func (b *brake) missing() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.missed.UnsortedList()
}

// hold notes whether the pods of a node are held, and reports whether that has changed.
func (b *brake) hold(node string, held bool) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.holding.Has(node) == held {
		return false
	}
	if held {
		b.holding.Insert(node)
	} else {
		b.holding.Delete(node)
	}
	return true
}

// held returns the number of nodes whose pods are held.
func (b *brake) held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.holding.Len()
}

// countedFor is how long a count of the losses is reused, since the many pods of a node ask one
// after the other. It is no longer than the shortest quarantine, so that nodes that left together
// are all counted when the pods of the first are due.
const countedFor = time.Second

// counted returns the last count if it is fresh.
func (b *brake) counted(now time.Time) (losses, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last, b.last.lost != nil && now.Sub(b.at) < countedFor
}

func (b *brake) keep(l losses, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last, b.at = l, at
}
