package wire

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

const (
	// maxMessageBytes bounds a message being reassembled, and all such messages of a sender
	// together. printk stores at most 1 KiB of text; the rest is room for escapes and for a dozen
	// userdata values of 256 bytes. A longer message loses only its userdata: a panic is reported
	// at its first fragment, however long the whole is.
	maxMessageBytes = 4 << 10
	// maxMessages bounds the messages being reassembled at a time. A kernel sends the fragments of
	// one message in a row, so a second message means that fragments were reordered or lost.
	maxMessages = 2
	// maxFragments bounds the fragments of one message: all but the last hold more than 800 bytes.
	maxFragments = 16
	// fragmentLife is how long the rest of a message is awaited.
	fragmentLife = time.Second
)

// A message is a fragmented message as received so far. The zero value holds nothing.
type message struct {
	head      Record // of the fragment that came first; its slices are not kept
	since     time.Time
	announced bool // its first fragment has been reported as a panic
	body      []byte
	parts     []span // sorted, disjoint
	have      uint32
}

// A span is the bytes [from, to) of a body.
type span struct{ from, to uint32 }

// A desk is the memory in which messages are reassembled: the first from its start on, the second
// up to its end.
type desk struct {
	bytes [maxMessageBytes]byte
	parts [maxMessages][maxFragments]span
}

// begin assigns memory to the nth message. What another message has left there is never read: a
// message is whole only when each of its bytes has come.
func (d *desk) begin(n int, r *Record, now time.Time) message {
	from := 0
	if n > 0 {
		from = maxMessageBytes - int(r.Total)
	}
	to := from + int(r.Total)
	m := message{head: *r, since: now, body: d.bytes[from:to:to], parts: d.parts[n][:0]}
	m.head.Release, m.head.Body = nil, nil
	return m
}

func (m *message) pending() bool { return m.body != nil }

func (m *message) of(r *Record) bool { return m.head.Seq == r.Seq && m.head.Micros == r.Micros }

// agrees reports whether the fragment agrees with the earlier ones about the whole message.
func (m *message) agrees(r *Record) bool {
	return m.head.Prefix == r.Prefix && m.head.Flag == r.Flag && m.head.Total == r.Total
}

// add puts one fragment in its place. A part that overlaps another one must repeat it exactly, in
// bytes and bounds.
func (m *message) add(r *Record) Outcome {
	if !m.agrees(r) {
		return OutcomeConflict
	}
	part := span{r.Offset, r.Offset + uint32(len(r.Body))}
	i, _ := slices.BinarySearchFunc(m.parts, part.from,
		func(s span, from uint32) int { return cmp.Compare(s.from, from) })
	if i < len(m.parts) && m.parts[i] == part && bytes.Equal(m.body[part.from:part.to], r.Body) {
		return OutcomeDuplicate
	}
	overlaps := i > 0 && m.parts[i-1].to > part.from ||
		i < len(m.parts) && m.parts[i].from < part.to
	if overlaps || len(m.parts) == maxFragments {
		return OutcomeConflict
	}
	m.parts = slices.Insert(m.parts, i, part) // within the desk: there are fewer than maxFragments
	m.have += uint32(copy(m.body[part.from:], r.Body))
	return OutcomeFragment
}

// record returns the message as if it had never been cut.
func (m *message) record() Record {
	r := m.head
	r.Offset, r.Total, r.Body = 0, 0, m.body
	return r
}

func (m *message) whole() bool { return m.have == m.head.Total }

// A reassembler reassembles the fragmented messages of one sender. The zero value is ready. It
// keeps its desk from the first fragment until a while after the last one, or until another sender
// needs it: a flood of fragments that complete nothing must not allocate a new one each time.
// Fragments on a desk that is taken away are lost.
type reassembler struct {
	pool     *pool[desk]
	lease    lease[desk]
	messages [maxMessages]message
	used     time.Time
}

// push adds a fragment to its message, or begins a new one with it. A message is given up when one
// fragment contradicts another. The whole message is returned with done; its body is valid until
// the next push.
func (a *reassembler) push(r *Record, announced bool,
	now time.Time) (whole message, done bool, o Outcome) {
	if r.Total > maxMessageBytes {
		return message{}, false, OutcomeTooLong
	}
	a.used = now
	m := a.find(a.desk(now), r, now)
	m.announced = m.announced || announced
	switch o = m.add(r); {
	case o == OutcomeConflict:
		*m = message{}
	case m.whole():
		whole, done = *m, true
		*m = message{}
	}
	return whole, done, o
}

// expire gives up messages that have waited for too long, and the desk if it was not used for as
// long.
func (a *reassembler) expire(now time.Time) {
	if a.lease.slot == nil {
		return
	}
	for n := range a.messages {
		if m := &a.messages[n]; m.pending() && now.Sub(m.since) > fragmentLife {
			*m = message{}
		}
	}
	if now.Sub(a.used) > fragmentLife {
		*a = reassembler{pool: a.pool}
	}
}

// desk returns the sender's desk, a new one if need be.
func (a *reassembler) desk(now time.Time) *desk {
	if d := a.lease.use(); d != nil {
		return d
	}
	a.lease, a.messages = a.pool.lend(now), [maxMessages]message{}
	return a.lease.use()
}

// find returns the message that a fragment belongs to. A new message replaces the oldest if there
// is no free place, and all if together they are too long.
func (a *reassembler) find(d *desk, r *Record, now time.Time) *message {
	oldest, together := 0, int(r.Total)
	for n := range a.messages {
		m := &a.messages[n]
		if m.pending() && m.of(r) {
			return m
		}
		if o := &a.messages[oldest]; !m.pending() || o.pending() && m.since.Before(o.since) {
			oldest = n
		}
		together += len(m.body)
	}
	if together > maxMessageBytes {
		a.messages = [maxMessages]message{}
	}
	a.messages[oldest] = d.begin(oldest, r, now)
	return &a.messages[oldest]
}
