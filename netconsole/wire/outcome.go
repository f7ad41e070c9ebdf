package wire

// An Outcome is what became of one datagram. The zero value is invalid.
type Outcome uint8

const (
	_ Outcome = iota
	// OutcomeLine is a kernel message of no further interest; it is kept as context.
	OutcomeLine
	// OutcomeUserspace is a message that user space wrote to /dev/kmsg; it is kept as context.
	OutcomeUserspace
	// OutcomeFragment is a part of a message whose other parts are awaited.
	OutcomeFragment
	// OutcomePanic is a kernel's announcement, in the extended format, that it panics.
	OutcomePanic
	// OutcomePanicRest completes a panic that was reported at its first fragment: now its userdata
	// is known.
	OutcomePanicRest
	// OutcomeCandidate reads like a panic, but may be forged: it is a line of the plain format, or
	// an extended one from a sender that so far has sent only the plain format.
	OutcomeCandidate
	// OutcomeDuplicate is a message that has been seen before.
	OutcomeDuplicate
	// OutcomeConflict is a fragment that contradicts the ones before it; the message is given up.
	OutcomeConflict
	// OutcomeTooLong is longer than a kernel ever sends, or part of a message too long to
	// reassemble.
	OutcomeTooLong
	// OutcomeMalformed is in neither of the two formats.
	OutcomeMalformed
)

// Outcomes are all valid outcomes.
var Outcomes = []Outcome{
	OutcomeLine, OutcomeUserspace, OutcomeFragment, OutcomePanic, OutcomePanicRest,
	OutcomeCandidate, OutcomeDuplicate,
	OutcomeConflict, OutcomeTooLong, OutcomeMalformed,
}

// String returns the word that metrics use.
func (o Outcome) String() string {
	switch o {
	case OutcomeLine:
		return "line"
	case OutcomeUserspace:
		return "userspace"
	case OutcomeFragment:
		return "fragment"
	case OutcomePanic:
		return "panic"
	case OutcomePanicRest:
		return "panic-rest"
	case OutcomeCandidate:
		return "candidate"
	case OutcomeDuplicate:
		return "duplicate"
	case OutcomeConflict:
		return "conflict"
	case OutcomeTooLong:
		return "too-long"
	case OutcomeMalformed:
		return "malformed"
	default:
		return "invalid"
	}
}
