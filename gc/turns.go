package gc

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

// A task is one pod that must be taken up.
type task struct {
	pod types.NamespacedName
	uid types.UID
	// node is whose line it stands in; pods that no node has to do with share one.
	node  string
	cause Cause
}

// fair is the order of a queue of tasks, one of each node in turn: whoever is 51st behind a zone of
// 50 nodes waits for 50 pods, not for all of theirs.
type fair struct {
	lines map[string][]task
	order []string
	n     int
}

// Push adds a task at the end of its node's line.
func (f *fair) Push(k task) {
	if len(f.lines[k.node]) == 0 {
		f.order = append(f.order, k.node)
	}
	f.lines[k.node] = append(f.lines[k.node], k)
	f.n++
}

// Pop removes the first task of the node whose turn it is, and sends the node to the end.
func (f *fair) Pop() task {
	node := f.order[0]
	f.order = f.order[1:]
	k, left := f.lines[node][0], f.lines[node][1:]
	f.n--
	if len(left) == 0 {
		delete(f.lines, node)
		return k
	}
	f.lines[node] = left
	f.order = append(f.order, node)
	return k
}

// Len is how many tasks wait.
func (f *fair) Len() int { return f.n }

// Touch leaves a task that is added again where it is.
func (*fair) Touch(task) {}

// turns hands out tasks. A pod is in it at most once, from the moment it is added until it is done,
// whatever it is taken up for: client-go's queue would hand out what is added while it is worked on
// once more, and the cache does not know yet then what has been done to the pod.
type turns struct {
	workqueue.TypedInterface[task]
	mu   sync.Mutex
	pods map[types.UID]struct{}
}

func newTurns(c clock.WithTicker) *turns {
	order := &fair{lines: map[string][]task{}}
	return &turns{
		TypedInterface: workqueue.NewTypedWithConfig(
			workqueue.TypedQueueConfig[task]{Name: QueuePods, Clock: c, Queue: order}),
		pods: map[types.UID]struct{}{},
	}
}

// add queues a task, and tells whether the pod was not in it yet.
func (t *turns) add(k task) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.pods[k.uid]; known {
		return false
	}
	t.pods[k.uid] = struct{}{}
	t.Add(k)
	return true
}

// next waits for a task, and returns false once the queue is shut down or ctx is done: what waits
// then is the next leader's.
func (t *turns) next(ctx context.Context) (task, bool) {
	k, quit := t.Get()
	return k, !quit && ctx.Err() == nil
}

// done lets the pod be added again.
func (t *turns) done(k task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Done(k)
	delete(t.pods, k.uid)
}

// holds tells whether the pod waits or is being worked on.
func (t *turns) holds(uid types.UID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.pods[uid]
	return ok
}
