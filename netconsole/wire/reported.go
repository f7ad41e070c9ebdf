package wire

// maxReported is how many panics of one sender are remembered, through its restarts: the last ones
// that were reported.
const maxReported = 4

// A fingerprint tells a panic's datagram from another one. A repetition must be one to the byte:
// were the number enough, a forged panic would make a duplicate of the genuine one.
type fingerprint struct{ seq, micros, sum uint64 }

func fingerprintOf(r *Record) fingerprint {
	const offsetBasis, prime = 14695981039346656037, 1099511628211 // FNV-1a
	sum := uint64(offsetBasis)
	for _, c := range r.Body {
		sum = (sum ^ uint64(c)) * prime
	}
	return fingerprint{r.Seq, r.Micros, sum}
}

// reported are the panics that were reported last. The zero value has none.
type reported struct {
	panics [maxReported]fingerprint
	next   int
}

// repeated tells whether the panic has been reported, and remembers it.
func (p *reported) repeated(r *Record) bool {
	f := fingerprintOf(r)
	for _, known := range p.panics {
		if known == f {
			return true
		}
	}
	p.panics[p.next] = f
	p.next = (p.next + 1) % maxReported
	return false
}
