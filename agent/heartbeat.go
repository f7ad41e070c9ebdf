package agent

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// passLimit is how long a pass may take: it calls the API server several times, each time with a
// timeout of seconds.
const passLimit = 2 * time.Minute

// A heartbeat remembers when the last pass ended. It may be read while passes go on.
type heartbeat struct {
	clock  clock.PassiveClock
	period time.Duration
	// began is when the agent was created; ended is when its last pass ended, in nanoseconds since
	// 1970, and 0 before the first.
	began time.Time
	ended atomic.Int64
}

func (h *heartbeat) beat() { h.ended.Store(h.clock.Now().UnixNano()) }

// Alive returns nil while passes end in time, and an error if one hangs, for instance in the
// kernel.
func (a *Agent) Alive() error {
	last := a.heartbeat.began
	if ended := a.heartbeat.ended.Load(); ended != 0 {
		last = time.Unix(0, ended)
	}
	if silent := a.heartbeat.clock.Since(last); silent > a.heartbeat.period+passLimit {
		return fmt.Errorf("no pass has ended for %s", silent.Round(time.Second))
	}
	return nil
}

// Ready returns nil once the first pass has ended, well or not: a node's faults are reported
// elsewhere, and are no reason to hold up the agents of other nodes.
func (a *Agent) Ready() error {
	if a.heartbeat.ended.Load() == 0 {
		return errors.New("the first pass has not ended yet")
	}
	return nil
}
