package gc

import (
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A nodeTracker knows the Nodes that exist, and remembers the last maxLastSeen that left. Every
// replica has one from its start, so that a new leader knows the last state of Nodes that went
// while nobody led.
type nodeTracker struct {
	mu   sync.RWMutex
	here map[string]knownNode
	gone map[string]lastSeen
}

type knownNode struct {
	uid   types.UID
	state nodeState
	// created is the creation time, in Unix seconds.
	created int64
}

// A lastSeen is the last state that we saw of a Node.
type lastSeen struct {
	node *corev1.Node
	at   time.Time
	// onRecord is set once its obituary is known to be written.
	onRecord bool
}

// maxLastSeen bounds the memory for departed Nodes: some 4 KiB each, so 8 MiB in all.
const maxLastSeen = 2048

func newNodeTracker() *nodeTracker {
	return &nodeTracker{here: map[string]knownNode{}, gone: map[string]lastSeen{}}
}

// arrive notes that a Node exists, and reports whether that is news: the Node is new, or its state
// has changed.
func (c *nodeTracker) arrive(node *corev1.Node) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.here[node.Name]
	now := knownNode{uid: node.UID, state: stateOf(node), created: node.CreationTimestamp.Unix()}
	c.here[node.Name] = now
	return before != now
}

// leave notes the last state of a Node that is gone.
func (c *nodeTracker) leave(node *corev1.Node, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here[node.Name].uid == node.UID {
		delete(c.here, node.Name)
	}
	c.gone[node.Name] = lastSeen{node: node, at: at}
	if len(c.gone) > maxLastSeen {
		c.forgetOldest()
	}
}

func (c *nodeTracker) forgetOldest() {
	oldest, at := "", time.Time{}
	for name, d := range c.gone {
		if oldest == "" || d.at.Before(at) {
			oldest, at = name, d.at
		}
	}
	delete(c.gone, oldest)
}

// known returns the state and the UID of the Node of that name.
func (c *nodeTracker) known(name string) knownNode {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r, ok := c.here[name]; ok {
		return r
	}
	return knownNode{state: absent}
}

// lastSeen returns the last state of the last Node of that name that left, if it is remembered.
func (c *nodeTracker) lastSeen(name string) (lastSeen, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	d, ok := c.gone[name]
	return d, ok
}

// recorded notes that the end of a departed Node is on record.
func (c *nodeTracker) recorded(d lastSeen) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now, ok := c.gone[d.node.Name]; ok && now.node == d.node {
		now.onRecord = true
		c.gone[d.node.Name] = now
	}
}

// goneNames returns the names of the departed Nodes that are remembered.
func (c *nodeTracker) goneNames() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Keys(c.gone))
}

// population returns the number of existing Nodes to compare the losses with. Nodes created after
// the last loss do not count: they replace what was lost, and make the losses no more plausible.
// They do count if their name is one that came back.
func (c *nodeTracker) population(l losses) int {
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
