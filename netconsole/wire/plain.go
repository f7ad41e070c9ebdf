package wire

import "bytes"

// plainText strips what the kernel may put before a line of the plain format:
//
//	[<prefix>][[seconds.micros] ][[  Tnnn] | [  Cn] ]text
func plainText(line []byte) []byte {
	if end := bytes.IndexByte(line, '>'); end > 1 && end <= len("<2047>")-1 && line[0] == '<' {
		if _, ok := number(line[1:end], maxPrefix); ok {
			line = line[end+1:]
		}
	}
	return withoutBracket(withoutBracket(line, isTime), isCaller)
}

// withoutBracket strips "[ content] " if the content suits.
func withoutBracket(line []byte, suits func([]byte) bool) []byte {
	const maxContent = 24
	end := bytes.IndexByte(line, ']')
	if end < 2 || end > maxContent || line[0] != '[' || !suits(bytes.TrimLeft(line[1:end], " ")) {
		return line
	}
	return bytes.TrimPrefix(line[end+1:], []byte{' '})
}

func isTime(b []byte) bool {
	seconds, micros, ok := bytes.Cut(b, []byte{'.'})
	return ok && len(micros) == 6 && digits(micros) && len(seconds) > 0 && digits(seconds)
}

func isCaller(b []byte) bool {
	return len(b) > 1 && (b[0] == 'T' || b[0] == 'C') && digits(b[1:])
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// withoutNotices strips the console's notices about itself before a record in the same datagram
// (kernel/printk/printk.c, console_prepend_dropped and console_prepend_replay). The extended format
// has no such notices.
func withoutNotices(datagram []byte) []byte {
	for _, notice := range []struct{ before, after string }{
		{"** replaying previous printk message", " **\n"},
		{"** ", " printk messages dropped **\n"},
	} {
		end := bytes.IndexByte(datagram, '\n') + 1
		if line := datagram[:end]; bytes.HasPrefix(line, []byte(notice.before)) &&
			bytes.HasSuffix(line, []byte(notice.after)) {
			datagram = datagram[end:]
		}
	}
	return datagram
}
