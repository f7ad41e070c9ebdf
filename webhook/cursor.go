package webhook

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/segmentio/encoding/json"
)

// maxDepth bounds how deeply the JSON of a review may be nested. Our fast decoder has no such
// bound: it would recurse until the process dies. Genuine reviews are no deeper, because the API
// server's own decoder has the same bound (encoding/json, maxNestingDepth).
const maxDepth = 10_000

var (
	errTooDeep = fmt.Errorf("the body is nested more than %d levels deep", maxDepth)
	errNotJSON = errors.New("the body is not JSON")
)

// A cursor walks through the text of a JSON object and reads the fields that somebody asks for. It
// finds the end of the others, which are most of a review, and does not look into them any further:
// they may contain what is not JSON. Names of fields count as they are written, as they do for the
// API server. After an error it stays where it is, and has no more fields.
type cursor struct {
	text  []byte
	at    int
	depth int
	// begun is set if the object has just been entered.
	begun bool
	err   error
}

// object enters the object that is the next value. Of null, there is nothing to enter.
func (c *cursor) object() bool {
	switch c.peek() {
	case '{':
		c.at++
		c.depth++
		c.begun = true
		return c.err == nil
	default:
		if text := c.value(); string(text) != "null" {
			c.fail(errNotJSON)
		}
		return false
	}
}

// first enters the object that is the next value, and goes to its first field.
func (c *cursor) first() (name []byte, ok bool) {
	if !c.object() {
		return nil, false
	}
	return c.field()
}

// field goes to the next field of the object, and returns its name; at the end of the object, it
// leaves that. Each field's value has to be read by one call.
func (c *cursor) field() (name []byte, ok bool) {
	next := c.peek()
	if next == '}' && c.err == nil {
		c.at++
		c.depth--
		c.begun = false
		return nil, false
	}
	if !c.begun {
		c.expect(',')
		next = c.peek()
	}
	c.begun = false
	if next != '"' {
		c.fail(errNotJSON)
		return nil, false
	}
	name = c.name()
	c.expect(':')
	return name, c.err == nil
}

// element goes to the next element of the array that is the next value, where n elements have been
// read; at the end of the array, it goes behind that. Null has no elements.
func (c *cursor) element(n int) bool {
	next := c.peek()
	switch {
	case n == 0 && next == '[':
		c.at++
		c.depth++
		next = c.peek()
	case n == 0:
		if text := c.value(); string(text) != "null" {
			c.fail(errNotJSON)
		}
		return false
	case next == ',':
		c.at++
		return c.err == nil
	}
	if next == ']' && c.err == nil {
		c.at++
		c.depth--
		return false
	}
	if n > 0 {
		c.fail(errNotJSON)
	}
	return c.err == nil
}

// name reads the next string, which is a field's name, mostly without a copy.
func (c *cursor) name() []byte {
	text := c.value()
	if c.err != nil {
		return nil
	}
	if inside := text[1 : len(text)-1]; plain(inside) {
		return inside
	}
	return []byte(c.unescaped(text))
}

// value returns the text of the next value, and goes behind it.
func (c *cursor) value() []byte {
	first := c.peek()
	if c.err != nil {
		return nil
	}
	from := c.at
	switch first {
	case '"':
		c.at = endOfString(c.text, from+1) + 1
	case '{', '[':
		c.at = c.endOfComposite()
	default:
		c.at += endOfWord(c.text[from:])
	}
	if c.at > len(c.text) || c.at == from {
		c.at = from
		c.fail(errNotJSON)
	}
	if c.err != nil {
		return nil
	}
	return c.text[from:c.at]
}

// endOfComposite returns where the array or object ends that begins here; behind the text if it
// does not.
func (c *cursor) endOfComposite() int {
	depth := 0
	for i := c.at; i < len(c.text); i++ {
		switch c.text[i] {
		case '[', '{':
			if depth++; c.depth+depth > maxDepth {
				c.fail(errTooDeep)
				return i
			}
		case ']', '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			i = endOfString(c.text, i+1)
		}
	}
	return len(c.text) + 1
}

// endOfWord returns how long the number, true, false or null is that the text begins with.
func endOfWord(text []byte) int {
	for i, b := range text {
		switch b {
		case ',', ':', '[', ']', '{', '}', '"', ' ', '\t', '\n', '\r':
			return i
		}
	}
	return len(text)
}

// endOfString returns where the string that begins at from ends: at the first quote that an even
// number of backslashes precedes.
func endOfString(text []byte, from int) int {
	for i := from; ; i++ {
		next := bytes.IndexByte(text[i:], '"')
		if next < 0 {
			return len(text)
		}
		i += next
		before := i
		for before > from && text[before-1] == '\\' {
			before--
		}
		if (i-before)%2 == 0 {
			return i
		}
	}
}

// string reads the next value as a string; of null, it is empty.
func (c *cursor) string() string {
	text := c.value()
	switch {
	case c.err != nil:
		return ""
	case text[0] == '"' && plain(text[1:len(text)-1]):
		return word(text[1 : len(text)-1])
	default:
		return c.unescaped(text)
	}
}

func (c *cursor) unescaped(text []byte) (s string) {
	c.decode(text, &s)
	return s
}

// into reads the next value into what v points to.
func (c *cursor) into(v any) {
	if text := c.value(); c.err == nil {
		c.decode(text, v)
	}
}

func (c *cursor) decode(text []byte, v any) {
	switch rest, err := json.Parse(text, v, json.DontMatchCaseInsensitiveStructFields); {
	case err != nil:
		c.fail(err)
	case len(rest) > 0:
		c.fail(errNotJSON)
	}
}

// end reports whether nothing but space follows.
func (c *cursor) end() bool {
	at := c.at
	for ; at < len(c.text) && isSpace(c.text[at]); at++ {
	}
	return at == len(c.text)
}

// peek skips space and returns the next byte.
func (c *cursor) peek() byte {
	for ; c.at < len(c.text); c.at++ {
		if b := c.text[c.at]; !isSpace(b) {
			return b
		}
	}
	c.fail(errNotJSON)
	return 0
}

func (c *cursor) expect(b byte) {
	if c.peek() != b {
		c.fail(errNotJSON)
		return
	}
	c.at++
}

// fail keeps the first error.
func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\t' || b == '\r' }

// plain reports whether a string means what its text says.
func plain(text []byte) bool {
	for _, b := range text {
		if b < ' ' || b >= 0x80 || b == '\\' {
			return false
		}
	}
	return true
}

// word returns the text as a string: the values that most reviews have, without a copy.
func word(text []byte) string {
	if s, ok := words[string(text)]; ok {
		return s
	}
	return string(text)
}

var words = func() map[string]string {
	all := map[string]string{}
	for _, w := range []string{"", "AdmissionReview", "admission.k8s.io/v1", "v1", "Pod", "Node",
		"pods", "nodes", "DELETE", "CREATE", "eviction", "Pending", "Running", "Succeeded",
		"Failed", "True", "False", "Unknown", "Ready", "Initialized", "ContainersReady",
		"PodScheduled", "PodReadyToStartContainers", "DisruptionTarget"} {
		all[w] = w
	}
	return all
}()
