package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// A Day is a clock on which a day passes in seconds. It notes for how long somebody waits.
type Day struct {
	*clocktesting.FakeClock
	// Except is a wait that is not noted: that of somebody else by the same clock.
	Except time.Duration

	mu    sync.Mutex
	waits []time.Duration
}

// NewDay returns a Day that begins at a time.
func NewDay(at time.Time) *Day { return &Day{FakeClock: clocktesting.NewFakeClock(at)} }

// NewTimer begins a wait.
func (d *Day) NewTimer(wait time.Duration) clock.Timer {
	timer := d.FakeClock.NewTimer(wait)
	if wait != d.Except {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.waits = append(d.waits, wait)
	}
	return timer
}

func (d *Day) begun() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waits)
}

// Pass has a day pass in steps, after each of which somebody tries again what fails, and begins
// another wait. It returns the longest wait that there was.
func (d *Day) Pass(t *testing.T, step time.Duration, each func(since time.Duration)) time.Duration {
	t.Helper()
	const day = 24 * time.Hour
	first := d.begun()
	for since := time.Duration(0); since <= day; since += step {
		each(since)
		before := d.begun()
		d.Step(step)
		for deadline := time.Now().Add(time.Minute); d.begun() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after %s nobody tries again", since)
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Max(d.waits[first:])
}
