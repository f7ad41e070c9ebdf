package netconsole

import (
	"fmt"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

// An outcome is what became of one datagram: each has exactly one, and it is counted. A datagram
// that gets as far as the parser has the parser's outcome; the others are numbered behind those.
type outcome uint8

const outcomesOfWire = 32

const (
	outcomeUnknownSender   outcome = outcomesOfWire + iota // no node has its address
	outcomeContestedSender                                 // several nodes claim its address
	// its source port is not one that an agent uses
	outcomeUnprivilegedPort
	// it may be a panic, but the plain format is switched off
	outcomePlainRefused
	outcomeFault // we panicked over it
	outcomesEnd
)

// allOutcomes returns every outcome.
func allOutcomes() []outcome {
	all := []outcome{outcomeUnknownSender, outcomeContestedSender, outcomeUnprivilegedPort,
		outcomePlainRefused, outcomeFault}
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
	case outcomeFault:
		return "fault"
	default:
		if o < outcomesOfWire {
			return wire.Outcome(o).String()
		}
		return fmt.Sprintf("invalid-%d", uint8(o))
	}
}
