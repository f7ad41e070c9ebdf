package wire

import "bytes"

// plainLine strips what the kernel may put before a line of the plain format:
//
//	[<level>][[seconds.micros] ][[  Tnnn] | [  Cn] ]text
//
// and returns the text and whether there was a time.
func plainLine(line []byte) (text []byte, timed bool) {
	if end := bytes.IndexByte(line, '>'); end > 1 && end <= 5 && line[0] == '<' {
		if _, ok := number(line[1:end], maxPrefix); ok {
			line = line[end+1:]
		}
	}
	if rest, ok := bracketed(line, isTime); ok {
		line, timed = rest, true
	}
	if rest, ok := bracketed(line, isCaller); ok {
		line = rest
	}
	return line, timed
}

// bracketed strips "[ content] " where the content suits.
func bracketed(line []byte, suits func([]byte) bool) ([]byte, bool) {
	const maxContent = 24
	end := bytes.IndexByte(line, ']')
	if end < 2 || end > maxContent || line[0] != '[' || !suits(bytes.TrimLeft(line[1:end], " ")) {
		return line, false
	}
	return bytes.TrimPrefix(line[end+1:], []byte{' '}), true
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
