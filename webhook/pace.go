package webhook

import (
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/termination"
)

const (
	// quiet is how long no review may have come in before promised reasons are written: the API
	// server is not busy with deletions then.
	quiet = 20 * time.Millisecond
	// patience is how long a promised reason gives way to deletions: a small part of
	// [termination.WriteBehind], and less than containers take to end.
	patience = termination.WriteBehind / 10
)

// pace delays promised writes while deletions come in, for patience at most: the write for one pod
// competes with the next one's DELETE, and has time until the pod's end.
type pace struct {
	clock   clock.PassiveClock
	reviews atomic.Int64
	// last is when the latest review was answered, in Unix nanoseconds.
	last atomic.Int64
}

func newPace(c clock.PassiveClock) *pace { return &pace{clock: c} }

// review notes that a review has come in. The function that it returns notes the answer.
func (p *pace) review() (answered func()) {
	p.reviews.Add(1)
	return func() {
		p.last.Store(p.clock.Now().UnixNano())
		p.reviews.Add(-1)
	}
}

// wait returns how long a write that was promised at that time is to be delayed.
func (p *pace) wait(promised time.Time) time.Duration {
	now := p.clock.Now()
	still := p.reviews.Load() == 0 && now.Sub(time.Unix(0, p.last.Load())) >= quiet
	if left := patience - now.Sub(promised); !still && left > 0 {
		return min(left, quiet)
	}
	return 0
}
