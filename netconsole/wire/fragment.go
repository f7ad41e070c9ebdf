package wire

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

const (
	// maxMessageBytes bounds a message that is put together, and all such messages of a sender.
	// printk stores 1 KiB of text at most, and the rest is room for escapes and for a dozen values
	// of userdata of 256 bytes. More is possible, but nothing is lost with it but the userdata: a
	// panic is reported at its first fragment, however long the whole is.
	maxMessageBytes = 4 << 10
	// maxMessages are put together at a time. A kernel sends the fragments of one message in a row,
	// so a second one means that fragments overtook each other or were lost.
	maxMessages = 2
	// maxFragments of one message: a kernel cuts off more than 800 bytes each time.
	maxFragments = 16
	// fragmentLife is how long the rest of a message is awaited.
	fragmentLife = time.Second
)

// A message is what has come of a fragmented one. The zero value holds nothing.
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

// A desk is where messages are put together: the first of them from its beginning on, the second
// one up to its end.
type desk struct {
	bytes [maxMessageBytes]byte
	parts [maxMessages][maxFragments]span
}

// begin puts the place of the nth message at its disposal. What lies there from another one is
// never read: a message is whole when each of its bytes has come.
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

// agrees tells whether the fragment says of the whole what the others said.
func (m *message) agrees(r *Record) bool {
	return m.head.Prefix == r.Prefix && m.head.Flag == r.Flag && m.head.Total == r.Total
}

// add puts one fragment in its place. A part that overlaps another one must repeat it to the byte
// and to the bound.
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

// record is the message as if it had never been cut.
func (m *message) record() Record {
	r := m.head
	r.Offset, r.Total, r.Body = 0, 0, m.body
	return r
}

func (m *message) whole() bool { return m.have == m.head.Total }

// A reassembler puts the fragmented messages of one sender together. The zero value is ready. It
// has its desk from the first fragment until a while after the last one, or until somebody else
// needs it: a flood of fragments that complete nothing must not make garbage of it each time. What
// lay on a desk that is lost is lost.
type reassembler struct {
	pool     *pool[desk]
	lease    lease[desk]
	messages [maxMessages]message
	used     time.Time
}

// push adds a fragment to its message, which begins with it where there is none. Whatever the
// fragments are, a message is given up when one contradicts another. The whole message is returned
// with done; its body is good until the next push.
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

// expire gives up what has waited for too long, and the desk when nothing came to it for as long.
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

// desk is where work goes on, if need be from now on.
func (a *reassembler) desk(now time.Time) *desk {
	if d := a.lease.use(); d != nil {
		return d
	}
	a.lease, a.messages = a.pool.lend(now), [maxMessages]message{}
	return a.lease.use()
}

// find returns the message that a fragment belongs to. A new one takes the place of the oldest if
// there is no other, and of all if they are too much together.
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
