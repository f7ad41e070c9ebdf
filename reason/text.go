package reason

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxTextBytes bounds the sentence of a reason. Kubernetes allows 256 KiB for all annotations of an
// object together.
const MaxTextBytes = 1024

// A Text is a sentence for people: not blank, at most [MaxTextBytes] of valid UTF-8, and without
// anything that controls a terminal. [ParseText] and [Clean] make one; the zero value means that
// there is none.
type Text string

// ErrBlank is returned for a reason that is missing or blank: neither says anything.
var ErrBlank = errors.New("the reason is empty")

// ParseText checks a reason that somebody wrote. It trims blanks, and refuses what [Clean] would
// have to alter: a person's words are kept or refused, never changed.
func ParseText(s string) (Text, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return "", ErrBlank
	case len(s) > MaxTextBytes:
		return "", fmt.Errorf("the reason has %d bytes, at most %d are allowed", len(s),
			MaxTextBytes)
	case !utf8.ValidString(s):
		return "", errors.New("the reason is not valid UTF-8")
	}
	if i := strings.IndexFunc(s, obeyed); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return "", fmt.Errorf("the reason contains the control character %U at byte %d", r, i)
	}
	return Text(s), nil
}

// Clean makes a Text of any string: it escapes characters that control a terminal or an editor,
// trims blanks at the ends, and cuts what is too long, with "…" at its end. A blank string becomes
// the zero Text.
func Clean(s string) Text {
	return Text(clean(s, MaxTextBytes))
}

// CleanTo cleans a name or a word as [Clean] does a sentence; the result has at most limit bytes.
func CleanTo(s string, limit int) string { return clean(s, limit) }

func clean(s string, limit int) string {
	s = strings.TrimSpace(s)
	if utf8.ValidString(s) && strings.IndexFunc(s, obeyed) < 0 {
		return cut(s, limit)
	}
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() <= limit; {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r < utf8.RuneSelf && obeyed(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case obeyed(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return cut(b.String(), limit)
}

// cut shortens s to at most limit bytes at a rune's boundary and marks the cut.
func cut(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}

// obeyed reports whether a terminal or an editor acts upon r instead of showing it: control
// characters, line and paragraph separators, and the directional overrides that make text read
// other than it is stored (CVE-2021-42574).
func obeyed(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' ||
		r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// TextPattern is an RE2 expression, for use in CEL, that finds the characters that [ParseText]
// refuses.
const TextPattern = `[\p{Cc}\x{2028}\x{2029}\x{202A}-\x{202E}\x{2066}-\x{2069}]`
