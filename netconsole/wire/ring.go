package wire

import (
	"bytes"
	"slices"
)

// RingBytes is how much of a sender's last lines is kept: an oops has some 70 lines of 70 bytes.
const RingBytes = 6 << 10

// maxRingLine bounds one line in the ring.
const maxRingLine = 512

// A Ring keeps the last lines of one sender. It takes its memory with the first line.
type Ring struct {
	buf  []byte
	next int  // where the next byte goes
	full bool // whether it has wrapped around
}

// Add keeps a line. What stands in it as a newline would end it, so it is cut there.
func (r *Ring) Add(line []byte) {
	if r.buf == nil {
		r.buf = make([]byte, RingBytes)
	}
	line = firstLine(line)
	r.write(line[:min(len(line), maxRingLine)])
	r.write([]byte{'\n'})
}

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
