package wire

import (
	"bytes"
	"slices"
	"time"
)

const (
	// RingBytes is how much of a sender's last lines is kept: an oops that ends in a panic has 70 lines of 56 bytes [seen]. For
	// 5,000 nodes that all have spoken this is 29 MiB.
	RingBytes = 6 << 10
	// maxRingLine bounds one line in the ring.
	maxRingLine = 512
	// afterPanicBytes is how much of what follows a panic is kept. The rest is lost rather than the panic: a node that boots
	// again prints 400 lines, and the panic's text may be asked for late.
	afterPanicBytes = RingBytes / 3
	// holdTime is for how long it may be asked for.
	holdTime = 10 * time.Minute
)

// A Ring keeps the last lines of one sender. It takes its memory with the first line. The zero value is empty.
type Ring struct {
	buf       []byte
	next      int  // where the next byte goes
	full      bool // whether it has wrapped around
	heldUntil time.Time
	room      int // bytes that may be written while it is held
}

// Add keeps a line. What stands in it as a newline would end it, so it is cut there.
func (r *Ring) Add(line []byte, now time.Time) {
	line = firstLine(line)
	line = line[:min(len(line), maxRingLine)]
	if now.Before(r.heldUntil) {
		if r.room -= len(line) + 1; r.room < 0 {
			r.room = 0
			return
		}
	}
	if r.buf == nil {
		r.buf = make([]byte, RingBytes)
	}
	r.write(line)
	r.write([]byte{'\n'})
}

// Hold keeps what is there now, and some of what follows, from being pushed out for a while.
func (r *Ring) Hold(now time.Time) {
	r.heldUntil, r.room = now.Add(holdTime), afterPanicBytes
}

// Release ends what Hold began.
func (r *Ring) Release() { r.heldUntil, r.room = time.Time{}, 0 }

func (r *Ring) write(b []byte) {
	for len(b) > 0 {
		n := copy(r.buf[r.next:], b)
		b = b[n:]
		if r.next += n; r.next == len(r.buf) {
			r.next, r.full = 0, true
		}
	}
}

// Lines returns what is kept, the oldest first. A line that was overwritten in part is left out.
func (r *Ring) Lines() []string {
	all := slices.Clone(r.buf[:r.next])
	if r.full {
		all = slices.Concat(r.buf[r.next:], r.buf[:r.next])
		_, all, _ = bytes.Cut(all, []byte{'\n'})
	}
	var lines []string
	for len(all) > 0 {
		var line []byte
		line, all, _ = bytes.Cut(all, []byte{'\n'})
		lines = append(lines, string(line))
	}
	return lines
}
