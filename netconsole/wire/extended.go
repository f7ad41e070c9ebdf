package wire

import "bytes"

const (
	// MaxDatagramBytes is the most that a kernel puts into one datagram (MAX_PRINT_CHUNK of
	// drivers/net/netconsole.c).
	MaxDatagramBytes = 1000
	// maxPrefix is facility 255, level 7: printk stores eight bits of facility and three of level.
	maxPrefix = 255<<3 | 7
	// maxHeaderFields bounds the key=value fields of a header; kernels of 2026 know three.
	maxHeaderFields = 8
	// maxReleaseBytes is the length of utsname's release.
	maxReleaseBytes = 64
)

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
	r.Flag = flag[0]
	if more && !r.readFields(fields) {
		return r, false
	}
	r.Body = body
	return r, r.Total == 0 || len(body) > 0 && uint64(r.Offset)+uint64(len(body)) <= uint64(r.Total)
}

// readFields reads the key=value fields of a header and skips unknown keys (dev-kmsg: "may be
// extended").
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

// isRelease reports whether b can be a kernel's release.
func isRelease(b []byte) bool {
	if len(b) > maxReleaseBytes {
		return false
	}
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// number reads decimal digits as the kernel prints them: no sign, no leading zeros, at most limit.
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
