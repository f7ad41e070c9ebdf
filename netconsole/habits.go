package netconsole

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// habits remembers which nodes answer while they live: only their silence says anything.
type habits struct {
	clock clock.PassiveClock
	// lasting is how long an answer says that a node is one that answers. A firewall may have come in between since.
	lasting time.Duration

	mu   sync.Mutex
	last map[types.UID]time.Time
}

func newHabits(clk clock.PassiveClock, lasting time.Duration) *habits {
	return &habits{clock: clk, lasting: lasting, last: map[types.UID]time.Time{}}
}

// answered tells whether the node is one that answers.
func (h *habits) answered(node types.UID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.last[node]
	return ok && h.clock.Since(at) < h.lasting
}

// note takes note of an answer.
func (h *habits) note(node types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last[node] = h.clock.Now()
}

// forget drops what says nothing any more, which bounds the memory by the nodes that have answered lately: also those that are gone,
// and of which a late answer may still be noted.
func (h *habits) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.last, func(_ types.UID, at time.Time) bool { return h.clock.Since(at) >= h.lasting })
}
