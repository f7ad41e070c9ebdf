package agent

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// passLimit is how long a pass may take: it asks the API server several times, and each time waits
// for seconds at most.
const passLimit = 2 * time.Minute

// A pulse remembers when the last pass ended. It may be asked while passes go on.
type pulse struct {
	clock  clock.PassiveClock
	period time.Duration
	// began is when the agent was made, ended when its last pass was over, in nanoseconds since
	// 1970; 0 before the first.
	began time.Time
	ended atomic.Int64
}

func (p *pulse) beat() { p.ended.Store(p.clock.Now().UnixNano()) }

// Alive is nil while passes end as they should: one that hangs, in the kernel say, is no work.
func (a *Agent) Alive() error {
	last := a.pulse.began
	if ended := a.pulse.ended.Load(); ended != 0 {
		last = time.Unix(0, ended)
	}
	if silent := a.pulse.clock.Since(last); silent > a.pulse.period+passLimit {
		return fmt.Errorf("no pass has ended for %s", silent.Round(time.Second))
	}
	return nil
}

// Ready is nil once the first pass has ended, well or not: what is wrong with the node is told
// elsewhere, and no reason to hold up the agents of other nodes.
func (a *Agent) Ready() error {
	if a.pulse.ended.Load() == 0 {
		return errors.New("the first pass has not ended yet")
	}
	return nil
}
