package wire

import (
	"bytes"
	"math"
	"time"
)

// userspacePrefix is the first prefix that is not the kernel's own: facility 1. A write to
// /dev/kmsg never yields facility 0.
const userspacePrefix = 8

// A Record is one datagram of the extended format, parsed but not unescaped. Its slices alias the
// datagram.
type Record struct {
	// Release is the kernel's release, if the target is set to send it.
	Release []byte
	// Prefix is facility<<3 | level.
	Prefix uint16
	// Flag is '-' for a whole line, 'c' or '+' for a piece of one.
	Flag byte
	// Seq counts the messages of one boot, from 0.
	Seq uint64
	// Micros is the time since boot, in microseconds.
	Micros uint64
	// Offset and Total are set in a fragment: where this one begins in a body of Total bytes. Total
	// is 0 in a whole message.
	Offset, Total uint32
	// Body is the text, a newline, and the dictionary (" KEY=value" lines).
	Body []byte
}

// FromKernel reports whether the kernel itself wrote the message; user space cannot fake that.
func (r *Record) FromKernel() bool { return r.Prefix < userspacePrefix }

// Text returns the message without its dictionary, escaped.
func (r *Record) Text() []byte { return firstLine(r.Body) }

// Booted returns when the kernel booted if the message was printed just now. It is too late for a
// replayed message, and too early for one of a longer boot. It is the zero time if the message
// claims more than a Duration can hold.
func (r *Record) Booted(now time.Time) time.Time {
	if r.Micros > math.MaxInt64/uint64(time.Microsecond) {
		return time.Time{}
	}
	return now.Add(-time.Duration(r.Micros) * time.Microsecond)
}

// Value returns a value of the dictionary, including userdata and sysdata. The kernel does not
// escape values. The first of equal keys wins, which matters: userdata comes before sysdata, whose
// taskname is the name of a process, which any process can set to 15 bytes of its choice, newlines
// included. A value proves something only for a key that the target's own userdata has.
func (r *Record) Value(key string) ([]byte, bool) {
	_, lines, _ := bytes.Cut(r.Body, []byte{'\n'})
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte{'\n'})
		entry, ok := bytes.CutPrefix(line, []byte{' '})
		if !ok {
			continue
		}
		if k, value, ok := bytes.Cut(entry, []byte{'='}); ok && string(k) == key {
			return value, true
		}
	}
	return nil, false
}

// Subsystem returns the subsystem of the device that the message is about; "" if there is none. The
// kernel puts it first in the dictionary, and it counts only there: further down, the name of a
// process could imitate it.
func (r *Record) Subsystem() string {
	_, dictionary, _ := bytes.Cut(r.Body, []byte{'\n'})
	value, ok := bytes.CutPrefix(firstLine(dictionary), []byte(" SUBSYSTEM="))
	if !ok {
		return ""
	}
	return string(value)
}

func firstLine(b []byte) []byte {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i]
	}
	return b
}
