package wire

import (
	"bytes"
	"time"
	"unsafe"
)

// MaxStreamBytes bounds what one stream without a [Memory] keeps: itself, its ring, and the
// messages being reassembled.
const MaxStreamBytes = int(unsafe.Sizeof(Stream{})) + int(unsafe.Sizeof(slot[ringBytes]{})) +
	int(unsafe.Sizeof(slot[desk]{}))

// A Stream is what one sender has sent. The zero value is ready, and has memory of its own;
// [Memory.NewStream] returns streams that share memory. It is not safe for concurrent use.
type Stream struct {
	ring      Ring
	fragments reassembler
	position  position
	reported  reported
	plain     bool
}

// An Event is what one datagram turned out to be.
type Event struct {
	Outcome Outcome
	// Order is how the message relates to those before it; zero in the plain format and in
	// fragments that complete nothing.
	Order Order
	// Extended tells the two formats apart.
	Extended bool
	// Mixed is set in the extended format if the sender has sent the plain format too. A plain line
	// may begin with what user space wrote, if the kernel prints no times (printk.time=0) or has
	// cut a long line; it can then read like the extended format. So user space may have forged any
	// message of a mixed sender.
	Mixed bool
	// Record is the message, whole if it could be reassembled. It aliases the datagram or the
	// memory, and is valid until the next Push of any stream that shares the memory. It is zero in
	// the plain format.
	Record Record
	// Line is the kernel's own cause of its panic: set with OutcomePanic, OutcomePanicRest and
	// OutcomeCandidate. It is unescaped and untrusted.
	Line string
}

// Push takes one datagram that arrived at the given time. A panic is reported at its first
// fragment: the rest may never come. A panic is a duplicate only if one with the same bytes was
// reported; nothing else can silence it.
func (s *Stream) Push(datagram []byte, now time.Time) Event {
	if len(datagram) > MaxDatagramBytes {
		return Event{Outcome: OutcomeTooLong}
	}
	s.fragments.expire(now)
	r, ok := ParseExtended(datagram)
	if !ok {
		return s.pushPlain(datagram, now)
	}
	e := Event{Extended: true, Mixed: s.plain, Record: r}
	switch {
	case announces(&r):
		s.announce(&e, now)
	case r.Total == 0:
		s.note(&e, now)
	default:
		s.pushFragment(&e, now)
	}
	return e
}

// announce reports a panic: a whole one, or the first fragment of one.
func (s *Stream) announce(e *Event, now time.Time) {
	if s.reported.repeated(&e.Record) {
		e.Outcome = OutcomeDuplicate
		return
	}
	e.Outcome = OutcomePanic
	e.Order, _ = s.position.place(e.Record.Seq, e.Record.Micros, now)
	if e.Mixed && e.Order == OrderFirst {
		e.Outcome = OutcomeCandidate
	}
	// first: a ring that is held for an earlier, perhaps forged, panic may have no room left
	s.ring.Hold(now)
	s.ring.Add(e.Record.Text(), now)
	if e.Record.Total != 0 {
		if whole, done, _ := s.fragments.push(&e.Record, true, now); done {
			e.Record = whole.record()
		}
	}
	e.Line = saysOf(&e.Record)
}

// pushFragment takes a fragment without an announcement. What it completes is a panic only if the
// first fragment announced one.
func (s *Stream) pushFragment(e *Event, now time.Time) {
	whole, done, outcome := s.fragments.push(&e.Record, false, now)
	switch {
	case !done:
		e.Outcome = outcome
	case whole.announced:
		e.Record, e.Outcome = whole.record(), OutcomePanicRest
		e.Line = saysOf(&e.Record)
	default:
		e.Record = whole.record()
		s.note(e, now)
	}
}

// note classifies a message that is not a panic, and keeps its text.
func (s *Stream) note(e *Event, now time.Time) {
	var repeated bool
	e.Order, repeated = s.position.place(e.Record.Seq, e.Record.Micros, now)
	if repeated {
		e.Outcome = OutcomeDuplicate
		return
	}
	s.ring.Add(e.Record.Text(), now)
	e.Outcome = OutcomeUserspace
	if e.Record.FromKernel() {
		e.Outcome = OutcomeLine
	}
}

// pushPlain takes a datagram of the plain format: any text that is not empty.
func (s *Stream) pushPlain(datagram []byte, now time.Time) Event {
	if len(firstLine(datagram)) == 0 {
		return Event{Outcome: OutcomeMalformed}
	}
	s.plain = true
	text, candidate := resembles(datagram)
	if candidate {
		s.ring.Hold(now)
	}
	for rest := datagram; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte{'\n'})
		s.ring.Add(line, now)
	}
	if candidate {
		return Event{Outcome: OutcomeCandidate, Line: string(bytes.TrimPrefix(text, announcement))}
	}
	return Event{Outcome: OutcomeLine}
}

// Lines returns the sender's last lines, oldest first. For a while after a panic, these are the
// ones that led to it and the first ones that followed. Lines of the extended format are escaped as
// the kernel does it; lines of the plain format are as they came.
func (s *Stream) Lines() []string { return s.ring.Lines() }

// Release lets new lines push out those of a panic that turned out to be untrue, so that those
// before the next one are kept.
func (s *Stream) Release() { s.ring.Release() }
