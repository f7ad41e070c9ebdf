package gc

import (
	"maps"
	"sync"
	"time"

	"github.com/epitaph-k8s/epitaph/config"
)

// A brake counts the nodes that are gone unexplained. While they are an implausible share of all nodes, their pods stay:
// an outage of the network or of a zone, a mistaken script or a store that was restored without its Nodes looks just like the
// death of many nodes, and pods that were deleted do not come back. Nodes that left with a reason are not its business.
type brake struct {
	config config.GCBrake

	mu   sync.Mutex
	lost map[string]loss
}

// A loss is a node that is gone unexplained.
type loss struct {
	at time.Time
	// held is set while its pods are held. Such a loss counts however old it is: holding must not end by itself.
	held bool
}

func newBrake(c config.GCBrake) *brake { return &brake{config: c, lost: map[string]loss{}} }

// note counts a node that is gone unexplained.
func (b *brake) note(node string, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost[node] = loss{at: at, held: b.lost[node].held}
}

// clear takes a node out of the count: it is back, explained or released.
func (b *brake) clear(node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.lost, node)
}

// A verdict is what the brake says about one node, with the figures that it rests on.
type verdict struct {
	held bool
	// news is set where the node was not held before, or is not held any more.
	news bool
	// lost nodes out of total are gone unexplained; all of them that are held count in holding.
	lost, total, holding int
}

// judge tells whether the pods of a node that is gone unexplained are held. here is how many Nodes there are.
func (b *brake) judge(node string, here int, now time.Time) verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.lost, func(_ string, l loss) bool { return !l.held && now.Sub(l.at) > b.config.Window.Duration })
	v := verdict{lost: len(b.lost), total: here + len(b.lost)}
	v.held = implausible(b.config, v.lost, v.total)
	l := b.lost[node]
	v.news = l.held != v.held
	l.held = v.held
	if !l.at.IsZero() {
		b.lost[node] = l
	}
	v.holding = b.holding()
	return v
}

// rest says that no pod of the node is left to be held; the loss goes on counting for the window.
func (b *brake) rest(node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l, ok := b.lost[node]; ok {
		l.held = false
		b.lost[node] = l
	}
}

func (b *brake) holding() int {
	n := 0
	for _, l := range b.lost {
		if l.held {
			n++
		}
	}
	return n
}

// held is how many nodes' pods are held.
func (b *brake) held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.holding()
}

// implausible tells whether so many nodes do not die at once.
func implausible(c config.GCBrake, lost, total int) bool {
	return c.Enabled && lost >= c.MinNodes && lost*100 > c.MaxPercent*total
}
