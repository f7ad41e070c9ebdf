package wire

import (
	"bytes"
	"math"
	"time"
)

// userspacePrefix is the first prefix that is not the kernel's own: facility 1. /dev/kmsg never
// yields facility 0.
const userspacePrefix = 8

// A Record is one datagram of the extended format, taken apart but not unescaped. Its slices alias
// the datagram.
type Record struct {
	// Release is the kernel's release, where the target is set to send it.
	Release []byte
	// Prefix is facility<<3 | level.
	Prefix uint16
	// Flag is '-' for a whole line, 'c' or '+' for a piece of one.
	Flag byte
	// Seq counts the messages of one boot, from 0.
	Seq uint64
	// Micros is the time since boot.
	Micros uint64
	// Offset and Total are set in a fragment: where in a body of Total bytes this one begins. Total
	// is 0 in a whole message.
	Offset, Total uint32
	// Body is the text, a newline, and the dictionary (" KEY=value" lines).
	Body []byte
}

// FromKernel tells whether the kernel itself wrote the message; user space cannot make it say so.
func (r *Record) FromKernel() bool { return r.Prefix < userspacePrefix }

// Text is the message without its dictionary, escaped.
func (r *Record) Text() []byte { return firstLine(r.Body) }

// Booted is when the kernel booted if the message was printed just now. A message that is replayed
// says so late, and one of a longer boot says so early. It is the zero time where the message
// claims more than time can hold.
func (r *Record) Booted(now time.Time) time.Time {
	if r.Micros > math.MaxInt64/uint64(time.Microsecond) {
		return time.Time{}
	}
	return now.Add(-time.Duration(r.Micros) * time.Microsecond)
}

// Value returns a value of the dictionary, userdata and sysdata included. Values are not escaped by
// the kernel. The first of equal keys wins, and that matters: userdata comes before sysdata, whose
// taskname is the name of a process, which any process can set to 15 bytes of its choice, newlines
// included. A value is proof of something only for a key that the target's own userdata has.
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

// Subsystem is that of the device which the message is about: "" where it is about none. The kernel
// puts it before all else in the dictionary, and there only it counts: further down, the name of a
// process could stand for it.
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
