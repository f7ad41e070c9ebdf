package gc

import (
	"sync"
	"time"
)

// missing remembers when we first missed the Nodes that nobody saw go: that starts their
// quarantine.
type missing struct {
	mu    sync.Mutex
	since map[string]time.Time
}

func newMissing() *missing { return &missing{since: map[string]time.Time{}} }

// first returns when the Node was first missed: now, if it was not missed before.
func (m *missing) first(name string, now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.since[name]; ok {
		return at
	}
	m.since[name] = now
	return now
}

// over forgets the Node, which is back or has no pods left.
func (m *missing) over(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.since, name)
}
