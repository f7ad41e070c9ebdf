package wire

import "strings"

// maxDepth is how deep types may be nested: D-Bus's own limit for arrays, structures and variants
// together.
const maxDepth = 64

// fixedSizes are the one-letter types of fixed size, which is also their alignment.
var fixedSizes = map[byte]int{'y': 1, 'n': 2, 'q': 2, 'b': 4, 'i': 4, 'u': 4, 'h': 4, 'x': 8,
	't': 8, 'd': 8}

func alignmentOf(kind byte) int {
	switch kind {
	case '(', '{':
		return 8
	case 's', 'o', 'a':
		return 4
	case 'g', 'v':
		return 1
	default:
		return max(1, fixedSizes[kind])
	}
}

// skipAll skips values of all the types in a signature.
func (c *cursor) skipAll(signature string) {
	for signature != "" && !c.failed() {
		signature = c.skip(signature, 0)
	}
}

// skip skips a value of the first type in a signature, and returns the rest of the signature.
func (c *cursor) skip(signature string, depth int) (rest string) {
	if signature == "" || depth > maxDepth {
		c.fail()
		return ""
	}
	kind, rest := signature[0], signature[1:]
	switch kind {
	case 's', 'o':
		c.text()
	case 'g':
		c.signature()
	case 'v':
		c.skip(c.signature(), depth+1)
	case 'a':
		return c.skipArray(rest)
	case '(', '{':
		return c.skipStructure(rest, depth)
	default:
		c.skipFixed(kind)
	}
	return rest
}

func (c *cursor) skipFixed(kind byte) {
	size := fixedSizes[kind]
	if size == 0 {
		c.fail()
		return
	}
	c.align(size)
	c.take(size)
}

// skipArray does not look at the elements: the length is known.
func (c *cursor) skipArray(element string) (rest string) {
	rest, ok := afterType(element, 0)
	if !ok {
		c.fail()
		return ""
	}
	end := c.array(alignmentOf(element[0]))
	if !c.failed() {
		c.pos = end
	}
	return rest
}

func (c *cursor) skipStructure(fields string, depth int) (rest string) {
	c.align(8)
	for fields != "" && !strings.ContainsRune(")}", rune(fields[0])) && !c.failed() {
		fields = c.skip(fields, depth+1)
	}
	if fields == "" {
		c.fail()
		return ""
	}
	return fields[1:]
}

// afterType returns what follows the first type of a signature.
func afterType(signature string, depth int) (rest string, ok bool) {
	if signature == "" || depth > maxDepth {
		return "", false
	}
	kind, rest := signature[0], signature[1:]
	switch kind {
	case 'a':
		return afterType(rest, depth+1)
	case '(', '{':
		return afterStructure(rest, depth)
	default:
		return rest, fixedSizes[kind] > 0 || strings.IndexByte("sogv", kind) >= 0
	}
}

func afterStructure(fields string, depth int) (rest string, ok bool) {
	for fields != "" && fields[0] != ')' && fields[0] != '}' {
		if fields, ok = afterType(fields, depth+1); !ok {
			return "", false
		}
	}
	if fields == "" {
		return "", false
	}
	return fields[1:], true
}
