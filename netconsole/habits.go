package netconsole

import (
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

// drop forgets a node that is gone.
func (h *habits) drop(node types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.last, node)
}
