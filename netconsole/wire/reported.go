package wire

// maxReported is how many of a sender's last reported panics are remembered, across its restarts.
const maxReported = 4

// A fingerprint identifies a panic's datagram. A repetition must be equal to the byte: if the
// number were enough, a forged panic would make the genuine one a duplicate.
type fingerprint struct{ seq, micros, sum uint64 }

func fingerprintOf(r *Record) fingerprint {
	const offsetBasis, prime = 14695981039346656037, 1099511628211 // FNV-1a
	sum := uint64(offsetBasis)
	for _, c := range r.Body {
		sum = (sum ^ uint64(c)) * prime
	}
	return fingerprint{r.Seq, r.Micros, sum}
}

// reported are the panics reported last. The zero value has none.
type reported struct {
	panics [maxReported]fingerprint
	next   int
}

// repeated reports whether the panic has been reported before, and remembers it.
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
