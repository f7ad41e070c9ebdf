package gc

import (
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A census knows the Nodes that are there, and remembers for a while those that left. Every replica takes it, from the day it
// starts: a new leader knows the last state of Nodes that went while nobody led.
type census struct {
	mu   sync.RWMutex
	here map[string]resident
	gone map[string]departure
}

type resident struct {
	uid      types.UID
	standing standing
	// created is when, in seconds.
	created int64
}

// A departure is the last that was seen of a Node.
type departure struct {
	node *corev1.Node
	at   time.Time
	// onRecord is set once its obituary is known to be written.
	onRecord bool
}

// maxDepartures bounds the memory of departed Nodes: some 4 KiB each, so 8 MiB.
const maxDepartures = 2048

func newCensus() *census {
	return &census{here: map[string]resident{}, gone: map[string]departure{}}
}

// arrive notes that a Node is there, and tells whether that is news: a Node that was not there, or that fell out of service.
func (c *census) arrive(node *corev1.Node) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.here[node.Name]
	now := resident{uid: node.UID, standing: standingOf(node), created: node.CreationTimestamp.Unix()}
	c.here[node.Name] = now
	return before != now
}

// leave notes the last state of a Node that is gone.
func (c *census) leave(node *corev1.Node, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here[node.Name].uid == node.UID {
		delete(c.here, node.Name)
	}
	c.gone[node.Name] = departure{node: node, at: at}
	if len(c.gone) > maxDepartures {
		c.forgetOldest()
	}
}

func (c *census) forgetOldest() {
	oldest, at := "", time.Time{}
	for name, d := range c.gone {
		if oldest == "" || d.at.Before(at) {
			oldest, at = name, d.at
		}
	}
	delete(c.gone, oldest)
}

// standingOf tells how a Node of that name stands, and which it is.
func (c *census) standingOf(name string) resident {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r, ok := c.here[name]; ok {
		return r
	}
	return resident{standing: absent}
}

// departed returns what is remembered of the last Node of that name that left.
func (c *census) departed(name string) (departure, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	d, ok := c.gone[name]
	return d, ok
}

// recorded notes that the end of a departed Node is on record.
func (c *census) recorded(d departure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now, ok := c.gone[d.node.Name]; ok && now.node == d.node {
		now.onRecord = true
		c.gone[d.node.Name] = now
	}
}

// departures are the names of those that are remembered.
func (c *census) departures() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Keys(c.gone))
}

// population is how many Nodes are there that the losses can be compared with: Nodes that came after them replace what was lost, and
// make it no more plausible, unless they bear a name that is back.
func (c *census) population(l losses) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	last, n := l.newest().Unix(), 0
	for name, r := range c.here {
		if r.created <= last || l.returned.Has(name) {
			n++
		}
	}
	return n
}
