package netconsole

import (
	"time"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

const (
	// bootTolerance is how far two messages of one boot may disagree about when it began: a dying
	// kernel sends up to three seconds late, and networks queue.
	bootTolerance = 10 * time.Second
	// bootDrift is how much a kernel's clock may run fast or slow: one part in a thousand is ten
	// times what is usual.
	bootDrift = 1000
	// reordered is how many messages a network may put before an earlier one.
	reordered = 64
)

// A boot is where the kernel of a sender was when it last spoke: it tells a message of this boot
// from one that somebody recorded in another. It follows whatever the kernel says, since machines
// are suspended and moved; so whoever can forge two messages passes, and whoever can only replay
// one does not.
type boot struct {
	known bool
	at    time.Time
	began time.Time // by our clock
	seq   uint64
}

// follow takes note of a message.
func (b *boot) follow(r *wire.Record, now time.Time) {
	*b = boot{known: true, at: now, began: beginning(r, now), seq: r.Seq}
}

// fits tells whether a message can come from the boot that the last one came from. To one of which
// nothing is known yet everything fits.
func (b *boot) fits(r *wire.Record, now time.Time) bool {
	if !b.known {
		return true
	}
	apart := beginning(r, now).Sub(b.began).Abs()
	return apart <= bootTolerance+now.Sub(b.at)/bootDrift && r.Seq+reordered > b.seq
}

// beginning is when the boot began that the message was sent in. A time since boot that no Duration
// holds is none.
func beginning(r *wire.Record, now time.Time) time.Time {
	const longest = 1 << 53 // microseconds: 285 years
	return now.Add(-time.Duration(min(r.Micros, longest)) * time.Microsecond)
}
