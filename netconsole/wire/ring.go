package wire

import (
	"bytes"
	"slices"
	"time"
)

const (
	// RingBytes is how much of a sender's last lines is kept: an oops that ends in a panic has 70
	// lines of 56 bytes [seen].
	RingBytes = 6 << 10
	// maxRingLine bounds one line in the ring.
	maxRingLine = 512
	// afterPanicBytes is how much of what follows a panic is kept. The rest is dropped to keep the
	// panic: a node that boots again prints 400 lines, and the panic's text may be read late.
	afterPanicBytes = RingBytes / 3
	// holdTime is how long it may be read.
	holdTime = 10 * time.Minute
)

type ringBytes [RingBytes]byte

// A Ring keeps the last lines of one sender. It takes memory with the first line, and is empty
// again when another sender needed that memory. The zero value is empty.
type Ring struct {
	pool      *pool[ringBytes]
	lease     lease[ringBytes]
	next      int  // where the next byte goes
	full      bool // whether it has wrapped around
	heldUntil time.Time
	room      int // bytes that may be written while it is held
}

// Add keeps a line, cut at its first newline, which would end it in the ring.
func (r *Ring) Add(line []byte, now time.Time) {
	line = firstLine(line)
	line = line[:min(len(line), maxRingLine)]
	if now.Before(r.heldUntil) {
		if r.room -= len(line) + 1; r.room < 0 {
			r.room = 0
			return
		}
	}
	buf := r.buffer(now)
	r.write(buf, line)
	r.write(buf, []byte{'\n'})
}

// buffer returns the memory for lines, a new one if need be.
func (r *Ring) buffer(now time.Time) *ringBytes {
	if buf := r.lease.use(); buf != nil {
		return buf
	}
	r.lease = r.pool.lend(now)
	r.lease.keep(r.heldUntil)
	r.next, r.full = 0, false
	return r.lease.use()
}

// Hold keeps what is there now, and some of what follows, from being pushed out for a while.
func (r *Ring) Hold(now time.Time) {
	r.heldUntil, r.room = now.Add(holdTime), afterPanicBytes
	r.lease.keep(r.heldUntil)
}

// Release ends what Hold began.
func (r *Ring) Release() {
	r.heldUntil, r.room = time.Time{}, 0
	r.lease.keep(r.heldUntil)
}

func (r *Ring) write(buf *ringBytes, b []byte) {
	for len(b) > 0 {
		n := copy(buf[r.next:], b)
		b = b[n:]
		if r.next += n; r.next == len(buf) {
			r.next, r.full = 0, true
		}
	}
}

// Lines returns the lines that are kept, oldest first, without one that was overwritten in part.
func (r *Ring) Lines() []string {
	buf := r.lease.use()
	if buf == nil {
		return nil
	}
	all := slices.Clone(buf[:r.next])
	if r.full {
		all = slices.Concat(buf[r.next:], buf[:r.next])
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
