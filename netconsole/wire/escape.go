package wire

// escapeBytes is the length of \xNN.
const escapeBytes = 4

// Unescape appends to dst what src stands for: the kernel writes control characters, bytes from
// 0x7f and backslashes as \xNN. What is no such escape is copied as it is. Unescape only what is
// whole: a fragment may end inside of an escape.
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

// Sentence is what escaped text stands for, in one line: records of several lines, as some drivers
// print them, have blanks where the kernel breaks or indents them.
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

// withoutCutEscape drops an escape at the end that the end of a fragment has cut.
func withoutCutEscape(text []byte) []byte {
	tail := max(0, len(text)-escapeBytes+1)
	for i := tail; i < len(text); i++ {
		if text[i] == '\\' {
			return text[:i]
		}
	}
	return text
}

// escaped tells whether the text has no byte that the kernel would have escaped.
func escaped(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}
