package wire

import "strings"

// at finds the nth argument: its type, what follows in the signature, and the value. It unwraps a
// variant.
func (m Message) at(n int) (kind string, c cursor) {
	c = cursor{order: m.order, data: m.body}
	kind = m.signature
	for ; n > 0 && kind != "" && !c.failed(); n-- {
		kind = c.skip(kind, 0)
	}
	if kind != "" && kind[0] == 'v' {
		kind = c.signature()
	}
	if c.failed() {
		return "", c
	}
	return kind, c
}

func is(kind string, letters ...byte) bool {
	for _, letter := range letters {
		if kind != "" && kind[0] == letter {
			return true
		}
	}
	return false
}

// Text returns the nth argument, if it is a string or an object path.
func (m Message) Text(n int) (text string, ok bool) {
	kind, c := m.at(n)
	if !is(kind, 's', 'o') {
		return "", false
	}
	text = c.text()
	return text, !c.failed()
}

// Uint32 returns the nth argument, if it is one.
func (m Message) Uint32(n int) (value uint32, ok bool) {
	kind, c := m.at(n)
	if !is(kind, 'u') {
		return 0, false
	}
	value = c.uint32()
	return value, !c.failed()
}

// Uint64 returns the nth argument, if it is one.
func (m Message) Uint64(n int) (value uint64, ok bool) {
	kind, c := m.at(n)
	if !is(kind, 't') {
		return 0, false
	}
	value = c.uint64()
	return value, !c.failed()
}

// Bool returns the nth argument, if it is one.
func (m Message) Bool(n int) (value, ok bool) {
	kind, c := m.at(n)
	if !is(kind, 'b') {
		return false, false
	}
	number := c.uint32()
	return number == 1, !c.failed() && number <= 1
}

// Entry returns the string under a key of the nth argument, a dictionary of variants.
func (m Message) Entry(n int, key string) (text string, ok bool) {
	kind, c := m.entry(n, key)
	if kind != "s" {
		return "", false
	}
	text = c.text()
	return text, !c.failed()
}

// EntryUint32 returns the number under a key of such a dictionary.
func (m Message) EntryUint32(n int, key string) (value uint32, ok bool) {
	kind, c := m.entry(n, key)
	if kind != "u" {
		return 0, false
	}
	value = c.uint32()
	return value, !c.failed()
}

// entry finds the type and the value under a key of such a dictionary.
func (m Message) entry(n int, key string) (of string, c cursor) {
	const dictionary = "a{sv}"
	kind, c := m.at(n)
	if !strings.HasPrefix(kind, dictionary) {
		return "", c
	}
	for end := c.array(8); c.pos < end; {
		c.align(8)
		found, of := c.text(), c.signature()
		if found == key && !c.failed() {
			return of, c
		}
		c.skip(of, 1)
	}
	return "", c
}

// Names reads the nth argument, an array of structures that each begin with a number and a string:
// it returns the strings by number.
func (m Message) Names(n int) map[uint32]string {
	kind, c := m.at(n)
	rest, ok := afterType(kind, 0)
	const begins = "a(us"
	if !ok || !strings.HasPrefix(kind, begins) {
		return nil
	}
	more := kind[len(begins) : len(kind)-len(rest)-len(")")]
	all := map[uint32]string{}
	for end := c.array(8); c.pos < end; {
		c.align(8)
		number, text := c.uint32(), c.text()
		c.skipAll(more)
		if !c.failed() {
			all[number] = text
		}
	}
	return all
}
