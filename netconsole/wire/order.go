package wire

import "time"

// An Order is how a message relates to those heard before it. It is evidence for whoever weighs
// whether a panic is true, and decides nothing here: otherwise whoever forges a number could
// silence the kernel. The zero value means that the order was not judged.
type Order uint8

const (
	_ Order = iota
	// OrderFirst has nothing before it to be compared with.
	OrderFirst
	// OrderNext is later than all before it.
	OrderNext
	// OrderEarlier belongs before another one: delivered late, printed again from the log buffer
	// when a target of the kernel's command line started, or replayed.
	OrderEarlier
	// OrderRestart begins a boot later than the one heard last.
	OrderRestart
	// OrderForeign fits neither the boot heard last nor a later one: it is from another boot, or
	// forged.
	OrderForeign
)

// String returns a word for logs.
func (o Order) String() string {
	switch o {
	case OrderFirst:
		return "first"
	case OrderNext:
		return "next"
	case OrderEarlier:
		return "earlier"
	case OrderRestart:
		return "restart"
	case OrderForeign:
		return "foreign"
	default:
		return "not-judged"
	}
}

const (
	// orderSlack is how far times may contradict the numbers: the clocks of CPUs differ, and
	// messages are numbered before they are stamped.
	orderSlack = 5 * time.Second
	// overtakeTime is how much later than its successor a message may arrive.
	overtakeTime = time.Second
	// overtakeSpan is for how many messages we remember whether they were seen.
	overtakeSpan = 64
)

// A position is the latest message of the boot heard last.
type position struct {
	any    bool
	seq    uint64
	micros uint64
	heard  time.Time
	seen   uint64 // bit n: seq-n has been seen
}

// place judges a message, and reports whether it has been seen.
func (p *position) place(seq, micros uint64, now time.Time) (o Order, repeated bool) {
	const slack = uint64(orderSlack / time.Microsecond)
	ahead := seq > p.seq
	since := uint64(max(0, now.Sub(p.heard)) / time.Microsecond)
	switch {
	case !p.any:
		p.begin(seq, micros, now)
		return OrderFirst, false
	case ahead && (micros >= p.micros || p.micros-micros <= slack):
		p.advance(seq, micros, now)
		return OrderNext, false
	case !ahead && p.seq-seq < overtakeSpan && distance(micros, p.micros) <= slack &&
		since < uint64(overtakeTime/time.Microsecond):
		return OrderEarlier, p.mark(seq)
	case since >= micros:
		p.begin(seq, micros, now)
		return OrderRestart, false
	case !ahead && (micros <= p.micros || micros-p.micros <= slack):
		return OrderEarlier, p.seq-seq < overtakeSpan && p.mark(seq)
	default:
		return OrderForeign, false
	}
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }

func (p *position) begin(seq, micros uint64, now time.Time) {
	*p = position{any: true, seq: seq, micros: micros, heard: now, seen: 1}
}

func (p *position) advance(seq, micros uint64, now time.Time) {
	p.seen = p.seen<<min(seq-p.seq, overtakeSpan) | 1
	p.seq, p.micros, p.heard = seq, micros, now
}

// mark records a message before the latest one, and reports whether it had been seen.
func (p *position) mark(seq uint64) (repeated bool) {
	bit := uint64(1) << (p.seq - seq)
	repeated = p.seen&bit != 0
	p.seen |= bit
	return repeated
}
