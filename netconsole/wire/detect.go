package wire

import (
	"bytes"
	"strings"
)

// announcement is what kernel/panic.c, and nothing else in the kernel, begins with.
var announcement = []byte("Kernel panic - not syncing: ")

// announces reports whether in this record the kernel says that it panics. The words must be at the
// start of a line, in its first fragment, at level KERN_EMERG of the kernel's own facility (exactly
// prefix 0), and all of it must be escaped as the kernel does it. That excludes the end marker of a
// panic, a process with such a name, and the words within another message.
func announces(r *Record) bool {
	return r.Prefix == 0 && r.Offset == 0 && r.Flag == '-' &&
		bytes.HasPrefix(r.Body, announcement) && escaped(r.Text())
}

// saysOf returns the kernel's own cause of the panic: the text after the announcement, unescaped
// and in one line.
func saysOf(r *Record) string {
	text := bytes.TrimPrefix(r.Text(), announcement)
	if r.Total != 0 && len(r.Text()) == len(r.Body) {
		text = withoutCutEscape(text)
	}
	return strings.TrimSpace(Sentence(text))
}

// resembles returns the text of a plain datagram that reads like a panic. panic() prints a record
// of its own, so the line must be the first of the datagram, apart from the console's notices about
// itself.
func resembles(datagram []byte) (text []byte, ok bool) {
	text = plainText(firstLine(withoutNotices(datagram)))
	return text, bytes.HasPrefix(text, announcement)
}
