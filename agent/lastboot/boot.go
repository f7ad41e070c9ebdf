package lastboot

import (
	"time"

	"github.com/epitaph-k8s/epitaph/agent/crash"
)

// How is how a boot ended.
type How string

// The ends of a boot.
const (
	// Orderly: somebody asked for it, and the system shut down as it should.
	Orderly How = "orderly"
	// Panic: its kernel panicked or crashed.
	Panic How = "panic"
	// Unclean: an orderly end would have been noted, and was not; nor did the kernel leave
	// anything. The power may have failed; End.Cause is what the machine says.
	Unclean How = "unclean"
	// Unknown: there is no evidence.
	Unknown How = "unknown"
)

// Ends returns every end.
func Ends() []How { return []How{Orderly, Panic, Unclean, Unknown} }

// A Moment is now: the boot, the machine's clock, and how long the kernel has been running.
type Moment struct {
	BootID string
	Now    time.Time
	Uptime time.Duration
}

func (m Moment) began() time.Time { return m.Now.Add(-m.Uptime) }

// A boot is what is remembered of one.
type boot struct {
	ID string `json:"id"`
	// Began is when it began, by the machine's clock as last read.
	Began time.Time `json:"began"`
	// NotedAfter is how long it had run when it was first noted.
	NotedAfter time.Duration `json:"notedAfter"`
	// Marked is set if an orderly end would be noted.
	Marked bool `json:"marked,omitempty"`
}

const (
	// tolerance is how far clocks may be apart: a machine's clock is set some time after it has
	// booted.
	tolerance = 10 * time.Second
	// drift is the reciprocal of how much a kernel's clock may run fast or slow: ten times the
	// usual drift.
	drift = 1000
)

// endedBy reports whether the dump can be of this boot, and of no other: see the package's comment.
func (b boot) endedBy(d crash.Dump, now Moment) bool {
	if d.After == 0 || d.After < b.NotedAfter {
		return false
	}
	ended, apart := b.Began.Add(d.After), tolerance+d.After/drift
	if ended.After(now.began().Add(apart)) {
		return false
	}
	return d.At.IsZero() || d.At.Sub(ended).Abs() <= apart
}

// when returns when the dump was made, as far as can be determined.
func (b boot) when(d crash.Dump) time.Time {
	if d.At.IsZero() {
		return b.Began.Add(d.After)
	}
	return d.At
}
