package wire

// escapeBytes is the length of \xNN.
const escapeBytes = 4

// Unescape appends the unescaped src to dst: the kernel writes control characters, bytes from 0x7f
// and backslashes as \xNN. Everything else is copied as it is. Unescape only whole texts: a
// fragment may end within an escape.
func Unescape(dst, src []byte) []byte {
	for len(src) > 0 {
		if len(src) >= escapeBytes && src[0] == '\\' && src[1] == 'x' {
			high, okHigh := hexDigit(src[2])
			low, okLow := hexDigit(src[3])
			if okHigh && okLow {
				dst, src = append(dst, high<<4|low), src[escapeBytes:]
				continue
			}
		}
		dst, src = append(dst, src[0]), src[1:]
	}
	return dst
}

// Sentence unescapes a text into one line: records of several lines, as some drivers print them,
// get blanks where the kernel breaks or indents them.
func Sentence(escaped []byte) string {
	text := Unescape(nil, escaped)
	sentence, broken := text[:0], false
	for _, c := range text {
		if c >= '\t' && c <= '\r' {
			broken = true
			continue
		}
		if broken && c != ' ' && len(sentence) > 0 && sentence[len(sentence)-1] != ' ' {
			sentence = append(sentence, ' ')
		}
		broken = false
		sentence = append(sentence, c)
	}
	return string(sentence)
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	default:
		return 0, false
	}
}

// withoutCutEscape drops an escape that the end of a fragment has cut off.
func withoutCutEscape(text []byte) []byte {
	tail := max(0, len(text)-escapeBytes+1)
	for i := tail; i < len(text); i++ {
		if text[i] == '\\' {
			return text[:i]
		}
	}
	return text
}

// escaped reports whether the text has no byte that the kernel would have escaped.
func escaped(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}
