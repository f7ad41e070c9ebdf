package reason

import (
	"fmt"
	"regexp"
	"strings"
)

// A Pattern matches texts: one literally; any in which a * stands for any run of characters; or,
// between slashes, any in which the regular expression (RE2) finds a match. The zero value matches
// every text.
type Pattern struct {
	text  string
	parts []string // between the stars, if there are any
	re    *regexp.Regexp
}

// ParsePattern reads a pattern.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: text}
	inner, expression := strings.CutPrefix(text, "/")
	if expression {
		inner, expression = strings.CutSuffix(inner, "/")
	}
	if !expression {
		if strings.Contains(text, "*") {
			p.parts = strings.Split(text, "*")
		}
		return p, nil
	}
	re, err := regexp.Compile(inner)
	if err != nil {
		return Pattern{}, fmt.Errorf(
			"is %q: %w: write a regular expression between the slashes, or a string with * for what varies", text, err)
	}
	p.re = re
	return p, nil
}

// MustPattern is [ParsePattern] for a pattern that is known to be valid.
func MustPattern(text string) Pattern {
	p, err := ParsePattern(text)
	if err != nil {
		panic(fmt.Sprintf("parse a pattern: %v", err)) // a programmer's error
	}
	return p
}

// IsZero reports whether p matches every text because nothing was written.
func (p Pattern) IsZero() bool { return p.text == "" }

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Equal reports whether two patterns were written alike.
func (p Pattern) Equal(q Pattern) bool { return p.text == q.text }

// MarshalText writes the pattern as it was.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.text), nil }

// UnmarshalText reads a pattern.
func (p *Pattern) UnmarshalText(text []byte) error {
	read, err := ParsePattern(string(text))
	if err != nil {
		return err
	}
	*p = read
	return nil
}

// Matches reports whether p matches s.
func (p Pattern) Matches(s string) bool {
	switch {
	case p.text == "":
		return true
	case p.re != nil:
		return p.re.MatchString(s)
	case p.parts == nil:
		return s == p.text
	default:
		return p.globs(s)
	}
}

// globs finds the parts between the stars, in order.
func (p Pattern) globs(s string) bool {
	first, last := p.parts[0], p.parts[len(p.parts)-1]
	rest, ok := strings.CutPrefix(s, first)
	if !ok {
		return false
	}
	if rest, ok = strings.CutSuffix(rest, last); !ok {
		return false
	}
	for _, part := range p.parts[1 : len(p.parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return true
}

// groups returns what the groups of the regular expression matched in s.
func (p Pattern) groups(s string) []string {
	if p.re == nil {
		return nil
	}
	found := p.re.FindStringSubmatch(s)
	if len(found) == 0 {
		return nil
	}
	return found[1:]
}

// anyMatches reports whether one of the patterns matches s, or there are none.
func anyMatches(patterns []Pattern, s string) bool {
	for _, p := range patterns {
		if p.Matches(s) {
			return true
		}
	}
	return len(patterns) == 0
}
