package wire

import "bytes"

const (
	// MaxDatagramBytes is the most that a kernel puts into one datagram (MAX_PRINT_CHUNK of drivers/net/netconsole.c).
	MaxDatagramBytes = 1000
	// maxPrefix is facility 255, level 7: printk stores eight bits of facility and three of level.
	maxPrefix = 255<<3 | 7
	// userspacePrefix is the first prefix that is not the kernel's own: facility 1. /dev/kmsg never yields facility 0.
	userspacePrefix = 8
	// maxHeaderFields bounds the key=value fields of a header; kernels of 2026 know three.
	maxHeaderFields = 8
)

// A Record is one datagram of the extended format, taken apart but not unescaped. Its slices alias the datagram.
type Record struct {
	// Release is the kernel's release, where the target is set to send it.
	Release []byte
	// Prefix is facility<<3 | level.
	Prefix uint16
	// Seq counts the messages of one boot, from 0.
	Seq uint64
	// Micros is the time since boot.
	Micros uint64
	// Offset and Total are set in a fragment: where in a body of Total bytes this one begins. Total is 0 in a whole message.
	Offset, Total uint32
	// Body is the text, a newline, and the dictionary (" KEY=value" lines).
	Body []byte
}

// ParseExtended takes a datagram apart:
//
//	[release,]prefix,seq,micros,flag[,key=value...];text\n[ KEY=value\n...]
//
// It is strict: what a kernel would not have written is refused.
func ParseExtended(datagram []byte) (r Record, ok bool) {
	header, body, found := bytes.Cut(datagram, []byte{';'})
	if !found {
		return r, false
	}
	first, rest, _ := bytes.Cut(header, []byte{','})
	if bytes.IndexByte(first, '.') >= 0 {
		if !isRelease(first) {
			return r, false
		}
		r.Release = first
		first, rest, _ = bytes.Cut(rest, []byte{','})
	}
	prefix, ok := number(first, maxPrefix)
	if !ok {
		return r, false
	}
	r.Prefix = uint16(prefix)
	seq, rest, _ := bytes.Cut(rest, []byte{','})
	if r.Seq, ok = number(seq, 1<<64-1); !ok {
		return r, false
	}
	micros, rest, _ := bytes.Cut(rest, []byte{','})
	if r.Micros, ok = number(micros, 1<<64-1); !ok {
		return r, false
	}
	flag, fields, more := bytes.Cut(rest, []byte{','})
	if len(flag) != 1 || flag[0] != '-' && flag[0] != 'c' && flag[0] != '+' {
		return r, false
	}
	if more && !r.readFields(fields) {
		return r, false
	}
	r.Body = body
	return r, r.Total == 0 || r.Offset < r.Total && uint64(r.Offset)+uint64(len(body)) <= uint64(r.Total) && len(body) > 0
}

// readFields reads the key=value fields of a header; keys that are not known are skipped (dev-kmsg: "may be extended").
func (r *Record) readFields(fields []byte) bool {
	for range maxHeaderFields {
		field, rest, more := bytes.Cut(fields, []byte{','})
		key, value, ok := bytes.Cut(field, []byte{'='})
		if !ok || len(key) == 0 {
			return false
		}
		if string(key) == "ncfrag" && !r.readFragment(value) {
			return false
		}
		if !more {
			return true
		}
		fields = rest
	}
	return false
}

func (r *Record) readFragment(value []byte) bool {
	offset, total, _ := bytes.Cut(value, []byte{'/'})
	o, okOffset := number(offset, 1<<32-1)
	t, okTotal := number(total, 1<<32-1)
	if !okOffset || !okTotal || t == 0 || r.Total != 0 {
		return false
	}
	r.Offset, r.Total = uint32(o), uint32(t)
	return true
}

// FromKernel tells whether the kernel itself wrote the message; user space cannot make it say so.
func (r *Record) FromKernel() bool { return r.Prefix < userspacePrefix }

// Text is the message without its dictionary, escaped.
func (r *Record) Text() []byte { return firstLine(r.Body) }

// Value returns a value of the dictionary, userdata and sysdata included. Values are not escaped by the kernel. The first of
// equal keys wins.
func (r *Record) Value(key string) ([]byte, bool) {
	_, lines, _ := bytes.Cut(r.Body, []byte{'\n'})
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte{'\n'})
		entry, ok := bytes.CutPrefix(line, []byte{' '})
		if !ok {
			continue
		}
		if k, value, ok := bytes.Cut(entry, []byte{'='}); ok && string(k) == key {
			return value, true
		}
	}
	return nil, false
}

func firstLine(b []byte) []byte {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i]
	}
	return b
}

// isRelease tells whether b can be a kernel's release: utsname has 64 printable characters.
func isRelease(b []byte) bool {
	if len(b) > 64 {
		return false
	}
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// number reads decimal digits, as the kernel prints them: no sign, no leading zeros, at most limit.
func number(b []byte, limit uint64) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 20 || len(b) > 1 && b[0] == '0' {
		return 0, false
	}
	for _, c := range b {
		digit := uint64(c - '0')
		if digit > 9 || n > (limit-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}

// Unescape appends to dst what src stands for: the kernel writes control characters, bytes from 0x7f and backslashes as \xNN.
// What is no such escape is copied as it is. Unescape only what is whole: a fragment may end inside of an escape.
func Unescape(dst, src []byte) []byte {
	for len(src) > 0 {
		if len(src) >= 4 && src[0] == '\\' && src[1] == 'x' {
			high, okHigh := hexDigit(src[2])
			low, okLow := hexDigit(src[3])
			if okHigh && okLow {
				dst, src = append(dst, high<<4|low), src[4:]
				continue
			}
		}
		dst, src = append(dst, src[0]), src[1:]
	}
	return dst
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
