package wire

import (
	"bytes"
	"strings"
)

// announcement is how kernel/panic.c, and nothing else in the kernel, begins.
var announcement = []byte("Kernel panic - not syncing: ")

// announces tells whether the record is the kernel saying that it panics. The words must be the
// beginning of a line, of its first fragment, at level KERN_EMERG of the kernel's own facility:
// exactly prefix 0; and all of it escaped as the kernel does it. The end marker of a panic, a
// process that is named like one, and the words inside of another message are none of these.
func announces(r *Record) bool {
	return r.Prefix == 0 && r.Offset == 0 && r.Flag == '-' &&
		bytes.HasPrefix(r.Body, announcement) && escaped(r.Text())
}

// saysOf is what the kernel says it panics of: the text behind the announcement, unescaped and in
// one line.
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
