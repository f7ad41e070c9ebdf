package gc

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

// A task is one pod to work on.
type task struct {
	pod types.NamespacedName
	uid types.UID
	// node is the node in whose line it waits; pods without one share a line.
	node  string
	cause Cause
}

// fair orders a queue of tasks: one of each node in turn. A node that comes 51st, behind a zone of
// 50 nodes, waits for 50 pods, not for all of theirs.
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

// Len returns the number of waiting tasks.
func (f *fair) Len() int { return f.n }

// Touch leaves a task that is added again in its place.
func (*fair) Touch(task) {}

const (
	// endedLife is how long the cache may take to show that a pod is gone. A pod that a finalizer
	// holds may be queued again after that.
	endedLife = 10 * time.Second
	// maxEnded bounds the deleted pods that are remembered; the oldest go first. They take a few
	// MiB, and are more than can be deleted within endedLife.
	maxEnded = 1 << 14
)

// turns hands out tasks. A pod is in it at most once, from when it is added until it is done,
// whatever the cause. client-go's queue would hand out again what is added while it is being worked
// on, at a time when the cache does not show yet what was done to the pod. Nor is a pod that we
// deleted added again for endedLife, since the cache may still show it as it was in between.
type turns struct {
	workqueue.TypedInterface[task]
	mu    sync.Mutex
	pods  map[types.UID]struct{}
	ended *utilcache.LRUExpireCache
}

func newTurns(c clock.WithTicker) *turns {
	order := &fair{lines: map[string][]task{}}
	return &turns{
		TypedInterface: workqueue.NewTypedWithConfig(
			workqueue.TypedQueueConfig[task]{Name: QueuePods, Clock: c, Queue: order}),
		pods:  map[types.UID]struct{}{},
		ended: utilcache.NewLRUExpireCacheWithClock(maxEnded, c),
	}
}

// end notes that a pod was deleted. It must be called before the task is done.
func (t *turns) end(uid types.UID) { t.ended.Add(uid, struct{}{}, endedLife) }

// over reports whether we deleted the pod within the last endedLife.
func (t *turns) over(uid types.UID) bool {
	_, ok := t.ended.Get(uid)
	return ok
}

// add queues a task, and reports whether it did: a pod that is already in it is not added again.
func (t *turns) add(k task) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.pods[k.uid]; known || t.over(k.uid) {
		return false
	}
	t.pods[k.uid] = struct{}{}
	t.Add(k)
	return true
}

// next waits for a task, and returns false once the queue is shut down or ctx is done: the next
// leader does the rest.
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

// holds reports whether the pod is waiting, is being worked on, or was deleted within the last
// endedLife.
func (t *turns) holds(uid types.UID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.pods[uid]
	return ok || t.over(uid)
}
