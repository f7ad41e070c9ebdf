package wire

import (
	"bytes"
	"slices"
	"time"
)

const (
	// maxMessageBytes bounds a message that is put together. printk stores 1 KiB of text at most, which escapes can make
	// 4 KiB, and a target's userdata adds 16 values of 256 bytes; the 256 values of Linux 7.3 are more than we want.
	maxMessageBytes = 8 << 10
	// maxMessages are put together at a time. A kernel sends the fragments of one message in a row, so a second one means
	// that fragments overtook each other or were lost.
	maxMessages = 2
	// maxFragments of one message: a kernel cuts off at least several hundred bytes each time.
	maxFragments = 64
	// fragmentLife is how long the rest of a message is awaited.
	fragmentLife = time.Second
)

// A message is what has come of a fragmented one. The zero value holds nothing.
type message struct {
	seq    uint64
	micros uint64
	total  uint32
	since  time.Time
	body   []byte
	parts  []span // sorted, disjoint
	have   uint32
}

// A span is the bytes [from, to) of a body.
type span struct{ from, to uint32 }

func (m *message) idle(now time.Time) bool { return m.total == 0 || now.Sub(m.since) > fragmentLife }

func (m *message) begin(r *Record, now time.Time) {
	*m = message{
		seq: r.Seq, micros: r.Micros, total: r.Total, since: now,
		body: slices.Grow(m.body[:0], int(r.Total))[:r.Total], parts: m.parts[:0],
	}
}

func (m *message) of(r *Record) bool { return m.seq == r.Seq && m.micros == r.Micros }

// add puts one fragment in its place. A part that overlaps another one must repeat it to the byte and to the bound.
func (m *message) add(r *Record) Outcome {
	part := span{r.Offset, r.Offset + uint32(len(r.Body))}
	i, _ := slices.BinarySearchFunc(m.parts, part.from, func(s span, from uint32) int { return int(int64(s.from) - int64(from)) })
	if i < len(m.parts) && m.parts[i] == part && bytes.Equal(m.body[part.from:part.to], r.Body) {
		return OutcomeDuplicate
	}
	overlaps := i > 0 && m.parts[i-1].to > part.from || i < len(m.parts) && m.parts[i].from < part.to
	if m.total != r.Total || overlaps || len(m.parts) == maxFragments {
		m.total = 0
		return OutcomeConflict
	}
	m.parts = slices.Insert(m.parts, i, part)
	m.have += uint32(copy(m.body[part.from:], r.Body))
	return OutcomeFragment
}

func (m *message) whole() bool { return m.have == m.total }

// assemble adds a fragment to its message, and returns the record of the whole message when that is complete.
func (s *Stream) assemble(r Record, now time.Time) (Record, Outcome) {
	if r.Total > maxMessageBytes {
		return r, OutcomeTooLong
	}
	m := s.messageFor(&r, now)
	outcome := m.add(&r)
	if outcome != OutcomeFragment || !m.whole() {
		return r, outcome
	}
	m.total = 0
	r.Offset, r.Total, r.Body = 0, 0, m.body
	return r, OutcomeLine
}

// messageFor finds the message that a fragment belongs to; a new one takes the place of one that is done, or of the oldest.
func (s *Stream) messageFor(r *Record, now time.Time) *message {
	chosen := &s.messages[0]
	for n := range s.messages {
		m := &s.messages[n]
		if !m.idle(now) && m.of(r) {
			return m
		}
		if m.idle(now) && !chosen.idle(now) || !chosen.idle(now) && m.since.Before(chosen.since) {
			chosen = m
		}
	}
	chosen.begin(r, now)
	return chosen
}
