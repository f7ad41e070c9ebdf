package netconsole

import (
	"time"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

const (
	// bootTolerance is how far two messages of one boot may disagree about when it began: a dying
	// kernel sends up to three seconds late, and networks queue.
	bootTolerance = 10 * time.Second
	// bootDrift is the reciprocal of how much a kernel's clock may run fast or slow: one part in a
	// thousand is ten times the usual drift.
	bootDrift = 1000
	// reordered is how many messages a network may deliver before an earlier one.
	reordered = 64
)

// A boot is the state of a sender's kernel when it last spoke: it tells a message of this boot from
// one recorded in another. It follows whatever the kernel says, since machines are suspended and
// moved. So it stops those who can only replay one message, but not those who can forge two.
type boot struct {
	known bool
	at    time.Time
	began time.Time // by our clock
	seq   uint64
}

// follow records a message.
func (b *boot) follow(r *wire.Record, now time.Time) {
	*b = boot{known: true, at: now, began: beginning(r, now), seq: r.Seq}
}

// fits reports whether a message can come from the same boot as the last one. If nothing is known
// of the boot yet, every message fits.
func (b *boot) fits(r *wire.Record, now time.Time) bool {
	if !b.known {
		return true
	}
	apart := beginning(r, now).Sub(b.began).Abs()
	return apart <= bootTolerance+now.Sub(b.at)/bootDrift && r.Seq+reordered > b.seq
}

// beginning returns when the boot that sent the message began. A time since boot that a Duration
// cannot hold is capped.
func beginning(r *wire.Record, now time.Time) time.Time {
	const longest = 1 << 53 // microseconds: 285 years
	return now.Add(-time.Duration(min(r.Micros, longest)) * time.Microsecond)
}
