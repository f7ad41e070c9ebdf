package webhook

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/termination"
)

const (
	// quiet is how long no review may have come in before promised reasons are written: the API
	// server is not busy with deletions then. It is longer than the time from one DELETE of a
	// single client to its next, also where the API server is held up for a moment.
	quiet = 100 * time.Millisecond
	// patience is how long a promised reason gives way to deletions: a small part of
	// [termination.WriteBehind], and less than containers take to end.
	patience = termination.WriteBehind / 10
	// urgent is how old a promise is that no longer waits for the writes before it.
	urgent = termination.WriteBehind / 3
)

// pace delays promised writes while deletions come in, for patience at most: the write for one pod
// competes with the next one's DELETE, and has time until the pod's end. Then they are written one
// after another, and more at a time only as more of them are outstanding.
type pace struct {
	clock   clock.PassiveClock
	reviews atomic.Int64
	// last is when the latest review was answered, in Unix nanoseconds.
	last atomic.Int64

	mu      sync.Mutex
	writing int
	// ended is sent to when a write ends.
	ended chan struct{}
}

func newPace(c clock.PassiveClock) *pace {
	return &pace{clock: c, ended: make(chan struct{}, 1)}
}

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
	if p.reviews.Load() == 0 && now.Sub(time.Unix(0, p.last.Load())) >= quiet {
		return 0
	}
	return max(0, patience-now.Sub(promised))
}

// turn waits until one more write may begin while so many are owed: the more, the more at a time,
// up to all workers. One that has become urgent begins at once. The caller ends its turn.
func (p *pace) turn(ctx context.Context, promised time.Time, owed func() int) (end func()) {
	ctx, cancel := context.WithTimeout(ctx, urgent-p.clock.Since(promised))
	defer cancel()
	for !p.begin(1 + owed()*workers/maxOwed) {
		select {
		case <-p.ended:
			continue
		case <-ctx.Done():
		}
		p.begin(math.MaxInt)
		break
	}
	return p.end
}

// begin begins a write unless as many as the limit are in progress.
func (p *pace) begin(limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writing >= limit {
		return false
	}
	p.writing++
	if p.writing < limit {
		p.wake()
	}
	return true
}

func (p *pace) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing--
	p.wake()
}

// wake has one more of those who wait look whether it may begin.
func (p *pace) wake() {
	select {
	case p.ended <- struct{}{}:
	default:
	}
}
