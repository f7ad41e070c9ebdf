package wire

import "bytes"

// announcement is how kernel/panic.c, and nothing else in the kernel, begins.
var announcement = []byte("Kernel panic - not syncing: ")

// announces tells whether the record is the kernel saying that it panics. The words must be the beginning of a message, of its
// first fragment, at level KERN_EMERG of the kernel's own facility: exactly prefix 0. The end marker of a panic, a process
// that is named like one, and the words inside of another message are none of these.
func announces(r *Record) bool {
	return r.Prefix == 0 && r.Offset == 0 && bytes.HasPrefix(r.Body, announcement)
}

// panicLine is what the kernel says it panics of: the text behind the announcement, unescaped.
func panicLine(text []byte) string {
	return string(Unescape(nil, bytes.TrimPrefix(firstLine(text), announcement)))
}

// resembles returns the line of a plain datagram that reads like a panic. A datagram may hold several lines, each with a time
// of its own.
func resembles(datagram []byte) (line []byte, ok bool) {
	first := true
	for len(datagram) > 0 {
		var raw []byte
		raw, datagram, _ = bytes.Cut(datagram, []byte{'\n'})
		text, timed := plainLine(raw)
		if (first || timed) && bytes.HasPrefix(text, announcement) {
			return text, true
		}
		first = false
	}
	return nil, false
}
