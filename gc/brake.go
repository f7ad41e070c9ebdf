package gc

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/epitaph-k8s/epitaph/config"
)

// A brake holds the pods of nodes that are gone unexplained while those are an implausible share of
// all nodes: an outage of the network or of a zone, a mistaken script or a store that was restored
// without its Nodes looks just like the death of many nodes, and pods that were deleted do not come
// back. Nodes that left with a reason are not its business.
//
// What it decides follows from the objects that are there ([Collector.lossesNow]), so every replica
// decides the same, at any time and after any number of restarts. What it remembers saves work and
// words, and decides nothing.
type brake struct {
	config config.GCBrake

	mu sync.Mutex
	// missed are the names that pods are bound to and no Node has.
	missed sets.Set[string]
	// last are the losses that were counted last, at that time.
	last losses
	at   time.Time
	// holding are the nodes whose pods are held.
	holding sets.Set[string]
}

func newBrake(c config.GCBrake) *brake {
	return &brake{config: c, missed: sets.New[string](), holding: sets.New[string]()}
}

// losses are the nodes that are gone unexplained.
type losses struct {
	// lost have the moment at which each left or was first missed.
	lost map[string]time.Time
	// returned are names that are back: their Nodes are young, and yet replace nobody.
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

// with adds a node to them, unless it is one of them.
func (l losses) with(node string, at time.Time) losses {
	if _, ok := l.lost[node]; ok {
		return l
	}
	lost := maps.Clone(l.lost)
	lost[node] = at
	return losses{lost, l.returned}
}

// A sighting is what is known of a name that no Node has.
type sighting struct {
	absence
	// wasNode is set where the name is known to have been a Node's: pods alone, whose author may
	// have invented it, do not tell.
	wasNode bool
	// hasPods is set where there are pods that are still to be ended.
	hasPods bool
}

// counts tells whether it is a loss by itself: however long it is gone, while it has pods that
// nobody has let go.
func (s sighting) counts() bool { return s.wasNode && s.hasPods && !s.explained && !s.released() }

// implausible tells whether so many nodes do not die at once. here is how many Nodes there are
// beside them.
func implausible(c config.GCBrake, lost, here int) bool {
	return c.Enabled && lost >= c.MinNodes && lost*100 > c.MaxPercent*(lost+here)
}

// miss notes that a pod is bound to a name that no Node has.
func (b *brake) miss(node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missed.Insert(node)
}

// back forgets a name: a Node has it, or no pod is left.
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

// hold notes whether the pods of a node are held, and tells whether that is news.
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

// held is how many nodes' pods are held.
func (b *brake) held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.holding.Len()
}

// countedFor is how long a count of the losses is used again: the many pods of a node ask one after
// the other. It is no longer than the shortest quarantine, so whoever left together with a node is
// counted when that node's pods are due.
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
