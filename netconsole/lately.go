package netconsole

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// lately remembers for a while of which nodes something was noted: that they answer, since only
// their silence says anything; or that a panic of theirs was untrue.
type lately struct {
	clock clock.PassiveClock
	// lasting is how long it says something.
	lasting time.Duration

	mu   sync.Mutex
	last map[types.UID]time.Time
}

func newLately(clk clock.PassiveClock, lasting time.Duration) *lately {
	return &lately{clock: clk, lasting: lasting, last: map[types.UID]time.Time{}}
}

// has tells whether it was noted lately.
func (l *lately) has(node types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.last[node]
	return ok && l.clock.Since(at) < l.lasting
}

// note notes it now.
func (l *lately) note(node types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last[node] = l.clock.Now()
}

// forget drops what says nothing any more, which bounds the memory by the nodes of that time: also
// those that are gone, and of which a late answer may still be noted.
func (l *lately) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.last, func(_ types.UID,
		at time.Time) bool {
		return l.clock.Since(at) >= l.lasting
	})
}
