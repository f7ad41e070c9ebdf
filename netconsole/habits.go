package netconsole

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/config"
)

// slack is how many times longer than the slowest answer silence must last: the machine of a dying
// kernel was seldom at rest.
const slack = 4

// habits remembers for a while which nodes answer while they live, and how slowly: only then does
// their silence mean anything, and only if it lasts longer than that.
type habits struct {
	clock clock.PassiveClock
	// lasting is how long an answer is remembered.
	lasting time.Duration
	// timeout is the shortest time that a probe waits, and patience the longest.
	timeout, patience time.Duration

	mu sync.Mutex
	of map[types.UID]habit
}

// A habit is when a node last answered, and its slowest answer of late.
type habit struct {
	last, slow time.Time
	took       time.Duration
}

func newHabits(clk clock.PassiveClock, c config.ProofOfDeath) *habits {
	return &habits{
		clock: clk, lasting: roundsRemembered * c.QuietRound.Duration,
		timeout:  c.Timeout.Duration,
		patience: max(c.Timeout.Duration, c.Patience.Duration),
		of:       map[types.UID]habit{},
	}
}

// note notes that the node answered now, and how long it took.
func (h *habits) note(node types.UID, took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, known := h.clock.Now(), h.of[node]
	if took >= known.took || now.Sub(known.slow) >= h.lasting {
		known.took, known.slow = took, now
	}
	known.last = now
	h.of[node] = known
}

// speaks reports whether silence of the node means anything: it answered lately, and never so
// slowly that no probe would wait for it.
func (h *habits) speaks(node types.UID) bool {
	known, ok := h.lately(node)
	return ok && known.took <= h.listen()
}

// listen is how long to wait for an answer in quiet times.
func (h *habits) listen() time.Duration { return max(h.timeout, h.patience/slack) }

// wait is how long to wait for an answer that would refute the node's death.
func (h *habits) wait(node types.UID) time.Duration {
	known, _ := h.lately(node)
	return min(max(h.timeout, slack*known.took), h.patience)
}

func (h *habits) lately(node types.UID) (habit, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known, ok := h.of[node]
	if !ok || h.clock.Since(known.last) >= h.lasting {
		return habit{}, false
	}
	return known, true
}

// forget drops what is too old, which bounds the memory by the nodes of that time, including
// deleted ones, of which a late answer may still be noted.
func (h *habits) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.of,
		func(_ types.UID, known habit) bool { return h.clock.Since(known.last) >= h.lasting })
}
