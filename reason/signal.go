package reason

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// A Signal is a rule that reads one mark of a Node. Signals are data: [DefaultSignals] come with
// the program, and the configuration adds its own.
type Signal struct {
	// Mark is what is read.
	Mark Mark `json:"mark"`
	// With are marks of which at least one must also be on the Node, if there are any.
	With []Mark `json:"with,omitempty" validate:"dive"`
	// Without are marks that must not be on the Node.
	Without []Mark `json:"without,omitempty" validate:"dive"`
	// Code that the signal leads to.
	Code Code `json:"code" validate:"required,nodecode"`
	// Detail, if set, fills the gap of the code's sentence: a text in which {type}, {status},
	// {reason}, {message}, {value}, {node}, and {1}, {2} … for the groups of a regular expression,
	// stand for what was found.
	Detail string `json:"detail,omitempty" validate:"max=256"`
	// Rank orders the signals; among equals the first counts. A signal without a rank precedes all
	// others.
	Rank Rank `json:"rank,omitempty" validate:"omitempty,oneof=Failure Notice Declaration Trouble Removal Symptom"`
	// Source is the project (and version) that emits the signal.
	Source string `json:"source,omitempty"`
}

// A Rank is how near to the root of the trouble a signal is.
type Rank string

// The ranks, nearest to the root first: a disk that failed explains why the node was then drained,
// or stopped answering.
const (
	// Failure is hardware that is broken.
	Failure Rank = "Failure"
	// Notice is what the cloud has announced for the machine.
	Notice Rank = "Notice"
	// Declaration is somebody's statement that the machine is off.
	Declaration Rank = "Declaration"
	// Trouble is a node that is unwell.
	Trouble Rank = "Trouble"
	// Removal is a node that is removed, or taken out of service, although nothing above is wrong
	// with it.
	Removal Rank = "Removal"
	// Symptom is how an end looks from outside, whatever its cause.
	Symptom Rank = "Symptom"
)

// Ranks returns all ranks in their order.
func Ranks() []Rank { return []Rank{Failure, Notice, Declaration, Trouble, Removal, Symptom} }

// Ranked returns the signals by rank; those of one rank keep their order.
func Ranked(signals []Signal) []Signal {
	all := slices.Clone(signals)
	order := Ranks()
	slices.SortStableFunc(all,
		func(a, b Signal) int { return slices.Index(order, a.Rank) - slices.Index(order, b.Rank) })
	return all
}

var defaultSignals = load[Signal]("nodes.yaml")

// DefaultSignals are what well-known components leave on a Node, by rank: the first that matches
// wins.
func DefaultSignals() []Signal { return Ranked(defaultSignals()) }

// match returns the reason that the signal gives the node.
func (s Signal) match(node *corev1.Node, by string) (Reason, bool) {
	found, ok := s.Mark.onNode(node)
	if !ok {
		return Reason{}, false
	}
	on := func(m Mark) bool {
		_, ok := m.onNode(node)
		return ok
	}
	if len(s.With) > 0 && !slices.ContainsFunc(s.With, on) || slices.ContainsFunc(s.Without, on) {
		return Reason{}, false
	}
	return New(Node, s.Code, found.words(s.Detail), by), true
}
