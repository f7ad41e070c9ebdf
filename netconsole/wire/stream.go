package wire

import "time"

// MaxStreamBytes bounds what one stream keeps: its ring and the messages that it puts together.
const MaxStreamBytes = RingBytes + maxMessages*(maxMessageBytes+maxFragments*8) + 512

// A Stream is what one sender has sent. The zero value is ready. It is not safe for concurrent use.
type Stream struct {
	ring     Ring
	messages [maxMessages]message
	seen     window
}

// An Event is what one datagram turned out to be.
type Event struct {
	Outcome Outcome
	// Record is the message, whole where it could be put together; it aliases the datagram or the stream and is valid until
	// the next Push. It is zero in the plain format.
	Record Record
	// Extended tells the two formats apart.
	Extended bool
	// Line is what the kernel says it panics of: set with OutcomePanic and OutcomeCandidate.
	Line string
}

// Push takes one datagram that arrived at the given time. A panic is reported at its first fragment: the rest may never
// come. A message that has been seen is a duplicate, a panic too; apart from that its sequence number suppresses nothing,
// because whoever forges one could otherwise silence the kernel.
func (s *Stream) Push(datagram []byte, now time.Time) Event {
	if len(datagram) > MaxDatagramBytes {
		return Event{Outcome: OutcomeTooLong}
	}
	r, ok := ParseExtended(datagram)
	if !ok {
		return s.pushPlain(datagram)
	}
	e := Event{Extended: true, Record: r}
	switch {
	case r.Total == 0 || r.Offset == 0 && announces(&r):
		e.Outcome = s.note(&r)
		if r.Total != 0 {
			e.Record, _ = s.assemble(r, now)
		}
	default:
		e.Record, e.Outcome = s.assemble(r, now)
		if e.Outcome == OutcomeLine {
			e.Outcome = s.note(&e.Record)
		}
	}
	if e.Outcome == OutcomePanic {
		e.Line = panicLine(e.Record.Text())
	}
	return e
}

// note classifies a message, and keeps its text.
func (s *Stream) note(r *Record) Outcome {
	if s.seen.duplicate(r.Seq, r.Micros) {
		return OutcomeDuplicate
	}
	s.ring.Add(r.Text())
	switch {
	case announces(r):
		return OutcomePanic
	case r.FromKernel():
		return OutcomeLine
	default:
		return OutcomeUserspace
	}
}

// pushPlain takes a datagram of the plain format: any text at all, but no empty one.
func (s *Stream) pushPlain(datagram []byte) Event {
	if len(firstLine(datagram)) == 0 {
		return Event{Outcome: OutcomeMalformed}
	}
	s.ring.Add(datagram)
	if line, ok := resembles(datagram); ok {
		return Event{Outcome: OutcomeCandidate, Line: panicLine(line)}
	}
	return Event{Outcome: OutcomeLine}
}

// Lines returns the sender's last lines, the oldest first. Lines of the extended format are escaped as the kernel does it;
// lines of the plain format are as they came.
func (s *Stream) Lines() []string { return s.ring.Lines() }

// A window remembers which of the last messages have been seen.
type window struct {
	any    bool
	last   uint64 // the highest sequence number
	micros uint64 // its time
	bits   uint64 // bit n: last-n has been seen
}

// duplicate tells whether the message has been seen, and notes it. A number far below the last one starts anew: the
// kernel has booted, or somebody lied; either way what follows is new.
func (w *window) duplicate(seq, micros uint64) bool {
	const size = 64
	switch {
	case !w.any || seq+size <= w.last || seq <= w.last && micros < w.micros/2:
		*w = window{any: true, last: seq, micros: micros, bits: 1}
		return false
	case seq > w.last:
		shift := seq - w.last
		w.bits = w.bits<<min(shift, size) | 1
		w.last, w.micros = seq, micros
		return false
	default:
		bit := uint64(1) << (w.last - seq)
		seen := w.bits&bit != 0
		w.bits |= bit
		return seen
	}
}
