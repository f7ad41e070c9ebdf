package gc

import (
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A nodeTracker knows the Nodes that are there, and remembers for a while those that left. Every
// replica has one, from the day it starts: a new leader knows the last state of Nodes that went
// while nobody led.
type nodeTracker struct {
	mu   sync.RWMutex
	here map[string]knownNode
	gone map[string]lastSeen
}

type knownNode struct {
	uid   types.UID
	state nodeState
	// created is when, in seconds.
	created int64
}

// A lastSeen is the last state that was seen of a Node.
type lastSeen struct {
	node *corev1.Node
	at   time.Time
	// onRecord is set once its obituary is known to be written.
	onRecord bool
}

// maxLastSeen bounds the memory of departed Nodes: some 4 KiB each, so 8 MiB.
const maxLastSeen = 2048

func newNodeTracker() *nodeTracker {
	return &nodeTracker{here: map[string]knownNode{}, gone: map[string]lastSeen{}}
}

// arrive notes that a Node is there, and tells whether that is news: a Node that was not there, or
// that fell out of service.
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

// known tells the state of the Node of that name, and which it is.
func (c *nodeTracker) known(name string) knownNode {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r, ok := c.here[name]; ok {
		return r
	}
	return knownNode{state: absent}
}

// lastSeen returns what is remembered of the last Node of that name that left.
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

// goneNames are the names of those that are remembered.
func (c *nodeTracker) goneNames() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Keys(c.gone))
}

// population is how many Nodes are there that the losses can be compared with: Nodes that came
// after them replace what was lost, and make it no more plausible, unless they bear a name that is
// back.
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
