package netconsole

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// recent remembers for a while of which nodes a panic was untrue.
type recent struct {
	clock clock.PassiveClock
	// lasting is how long a note stays valid.
	lasting time.Duration

	mu   sync.Mutex
	last map[types.UID]time.Time
}

func newRecent(clk clock.PassiveClock, lasting time.Duration) *recent {
	return &recent{clock: clk, lasting: lasting, last: map[types.UID]time.Time{}}
}

// has reports whether the node was noted lately.
func (r *recent) has(node types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.last[node]
	return ok && r.clock.Since(at) < r.lasting
}

// note notes the node now.
func (r *recent) note(node types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last[node] = r.clock.Now()
}

// forget drops expired notes, which bounds the memory by the nodes of that time, including deleted
// ones, of which a late answer may still be noted.
func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.last, func(_ types.UID,
		at time.Time) bool {
		return r.clock.Since(at) >= r.lasting
	})
}
