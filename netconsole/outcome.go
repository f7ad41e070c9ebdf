package netconsole

import (
	"fmt"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

// An outcome is what became of one datagram: each has exactly one, and it is counted. What gets as
// far as the parser has the parser's outcome; the others are numbered behind those.
type outcome uint8

const outcomesOfWire = 32

const (
	outcomeUnknownSender   outcome = outcomesOfWire + iota // no node has its address
	outcomeContestedSender                                 // several nodes claim its address
	// its source port is not what an agent holds
	outcomeUnprivilegedPort
	// it might be a panic, but the plain format is switched off
	outcomePlainRefused
	outcomesEnd
)

// allOutcomes are all there are.
func allOutcomes() []outcome {
	all := []outcome{outcomeUnknownSender, outcomeContestedSender, outcomeUnprivilegedPort,
		outcomePlainRefused}
	for _, o := range wire.Outcomes {
		all = append(all, outcome(o))
	}
	return all
}

// String returns the label of the metric.
func (o outcome) String() string {
	switch o {
	case outcomeUnknownSender:
		return "unknown-sender"
	case outcomeContestedSender:
		return "contested-sender"
	case outcomeUnprivilegedPort:
		return "unprivileged-port"
	case outcomePlainRefused:
		return "plain-refused"
	default:
		if o < outcomesOfWire {
			return wire.Outcome(o).String()
		}
		return fmt.Sprintf("invalid-%d", uint8(o))
	}
}
