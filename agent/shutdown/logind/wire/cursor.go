package wire

import (
	"encoding/binary"
	"unicode/utf8"
)

// A cursor reads successive values from bytes. An error ends it: from then on it yields zero
// values.
type cursor struct {
	order binary.ByteOrder
	data  []byte
	pos   int
}

func (c *cursor) more() bool { return c.pos < len(c.data) }

func (c *cursor) fail() { c.pos = len(c.data) + 1 }

func (c *cursor) failed() bool { return c.pos > len(c.data) }

// take returns the next n bytes, or nil if there are not as many.
func (c *cursor) take(n int) []byte {
	if c.failed() || n < 0 || n > len(c.data)-c.pos {
		c.fail()
		return nil
	}
	c.pos += n
	return c.data[c.pos-n : c.pos]
}

// align skips to the next multiple, counted from the start of the data, which is a multiple of
// eight in the message.
func (c *cursor) align(to int) { c.take((to - c.pos%to) % to) }

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	c.align(4)
	if b := c.take(4); b != nil {
		return c.order.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	c.align(8)
	if b := c.take(8); b != nil {
		return c.order.Uint64(b)
	}
	return 0
}

// text reads a string or an object path.
func (c *cursor) text() string { return c.ended(int64(c.uint32())) }

func (c *cursor) signature() string { return c.ended(int64(c.byte())) }

// ended reads text of that length, terminated by a NUL.
func (c *cursor) ended(length int64) string {
	if length >= int64(len(c.data)) {
		c.fail()
		return ""
	}
	b := c.take(int(length) + 1)
	if b == nil || b[length] != 0 || !utf8.Valid(b[:length]) {
		c.fail()
		return ""
	}
	return string(b[:length])
}

// array goes to the first element of an array, and returns where the array ends.
func (c *cursor) array(alignment int) (end int) {
	length := int64(c.uint32())
	c.align(alignment)
	if c.failed() || length > int64(len(c.data)-c.pos) {
		c.fail()
		return c.pos
	}
	return c.pos + int(length)
}
