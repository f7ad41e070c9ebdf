package gc

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// A task is one pod that must be taken up.
type task struct {
	pod types.NamespacedName
	uid types.UID
	// node is whose line it stands in; pods that no node has to do with share one.
	node  string
	cause Cause
}

// turns hands out tasks, one of each node in turn: whoever is 51st behind a zone of 50 nodes waits for 50 pods, not for all of
// theirs. A pod is in it at most once, from the moment it is added until it is done.
type turns struct {
	mu      sync.Mutex
	arrived sync.Cond
	lines   map[string][]task
	order   []string
	pods    map[types.UID]struct{}
}

func newTurns() *turns {
	t := &turns{lines: map[string][]task{}, pods: map[types.UID]struct{}{}}
	t.arrived.L = &t.mu
	return t
}

// add queues a task at the end of its node's line, and tells whether the pod was not in it yet.
func (t *turns) add(k task) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.pods[k.uid]; known {
		return false
	}
	t.pods[k.uid] = struct{}{}
	if len(t.lines[k.node]) == 0 {
		t.order = append(t.order, k.node)
	}
	t.lines[k.node] = append(t.lines[k.node], k)
	t.arrived.Signal()
	return true
}

// next waits for a task, and returns false once ctx is done.
func (t *turns) next(ctx context.Context) (task, bool) {
	defer context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.arrived.Broadcast()
	})()
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.order) == 0 && ctx.Err() == nil {
		t.arrived.Wait()
	}
	if ctx.Err() != nil {
		return task{}, false
	}
	return t.take(), true
}

// take removes the first task of the node whose turn it is, and sends the node to the end.
func (t *turns) take() task {
	node := t.order[0]
	t.order = t.order[1:]
	line := t.lines[node]
	k := line[0]
	if len(line) == 1 {
		delete(t.lines, node)
		return k
	}
	t.lines[node] = line[1:]
	t.order = append(t.order, node)
	return k
}

// done lets the pod be added again.
func (t *turns) done(k task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pods, k.uid)
}

// holds tells whether the pod waits or is being worked on.
func (t *turns) holds(uid types.UID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.pods[uid]
	return ok
}

// waiting is how many tasks nobody has taken yet.
func (t *turns) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, line := range t.lines {
		n += len(line)
	}
	return n
}
