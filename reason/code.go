package reason

import (
	"maps"
	"slices"
)

// A Code names a cause of termination in one word, for labels, metrics and queries.
type Code string

// Disruptions: something other than the program or its owner ended the pod.
const (
	Preempted         Code = "Preempted"
	HardwareFailure   Code = "HardwareFailure"
	NodeHalted        Code = "NodeHalted"
	CloudInstanceGone Code = "CloudInstanceGone"
	KernelPanic       Code = "KernelPanic"
	NodeDrained       Code = "NodeDrained"
	Evicted           Code = "Evicted"
	NodePressure      Code = "NodePressure"
	NodeShutdown      Code = "NodeShutdown"
	NodeUnreachable   Code = "NodeUnreachable"
	OutOfService      Code = "OutOfService"
	NodeScaledDown    Code = "NodeScaledDown"
	SpotInterrupted   Code = "SpotInterrupted"
	NodeDeleted       Code = "NodeDeleted"
	// Refused is for a pod that the kubelet of its node did not admit.
	Refused Code = "Refused"
)

// Routine removals: the cluster or a person tidied up, as intended.
const (
	ScaledDown   Code = "ScaledDown"
	OwnerDeleted Code = "OwnerDeleted"
	JobFinished  Code = "JobFinished"
	// JobFailed is for a pod that still ran when its Job failed by its own rules: its deadline, or
	// how often its pods may fail.
	JobFailed Code = "JobFailed"
	// Suspended is for a pod whose job was suspended, or deactivated in its queue.
	Suspended Code = "Suspended"
	// RemovedByOwner is for a pod that its owner's controller removed, if the owner does not say
	// why.
	RemovedByOwner     Code = "RemovedByOwner"
	NamespaceDeleted   Code = "NamespaceDeleted"
	RolloutReplaced    Code = "RolloutReplaced"
	TerminatedPodLimit Code = "TerminatedPodLimit"
	NeverScheduled     Code = "NeverScheduled"
	UserRequest        Code = "UserRequest"
	// AlreadyEnded is for the object of a pod that had ended by itself before its removal.
	AlreadyEnded Code = "AlreadyEnded"
	// LimitExceeded is for a pod that used more than its own limit allows: running it again ends
	// the same way.
	LimitExceeded Code = "LimitExceeded"
	// DeadlineExceeded is for a pod that ran longer than its own activeDeadlineSeconds.
	DeadlineExceeded Code = "DeadlineExceeded"
)

// Unexplained means that nobody said why and that nothing could be inferred.
const Unexplained Code = "Unexplained"

// A Class is what a termination means to the owner of the pod.
type Class uint8

const (
	_ Class = iota
	// Disruption was not the program's fault; running it again is what the platform recommends.
	Disruption
	// Routine was intended by the owner or the cluster.
	Routine
	// NoExplanation is an audit finding.
	NoExplanation
)

// String returns the word that metrics and obituaries use.
func (c Class) String() string {
	switch c {
	case Disruption:
		return "disruption"
	case Routine:
		return "routine"
	case NoExplanation:
		return "unexplained"
	default:
		return "invalid"
	}
}

var classes = map[Code]Class{
	Preempted: Disruption, HardwareFailure: Disruption, NodeHalted: Disruption,
	CloudInstanceGone: Disruption,
	KernelPanic:       Disruption, NodeDrained: Disruption, Evicted: Disruption,
	NodePressure: Disruption,
	NodeShutdown: Disruption, NodeUnreachable: Disruption, OutOfService: Disruption,
	NodeScaledDown:  Disruption,
	SpotInterrupted: Disruption, NodeDeleted: Disruption, Refused: Disruption,

	ScaledDown: Routine, OwnerDeleted: Routine, JobFinished: Routine, NamespaceDeleted: Routine,
	RolloutReplaced: Routine, TerminatedPodLimit: Routine, NeverScheduled: Routine,
	UserRequest:  Routine,
	AlreadyEnded: Routine, LimitExceeded: Routine, DeadlineExceeded: Routine, JobFailed: Routine,
	RemovedByOwner: Routine, Suspended: Routine,

	Unexplained: NoExplanation,
}

// Codes returns the whole vocabulary, in alphabetical order.
func Codes() []Code { return slices.Sorted(maps.Keys(classes)) }

// Known reports whether c belongs to the vocabulary.
func (c Code) Known() bool { return classes[c] != 0 }

// OfNodes reports whether a Node can leave with c: a signal on a Node can only lead to such a code.
func (c Code) OfNodes() bool {
	_, ok := nodeSentences[c]
	return ok && c.Class() == Disruption
}

// Class returns what c means to the owner of the pod. A code that somebody else invented explains
// nothing to us, so its class is NoExplanation.
func (c Code) Class() Class {
	if class, ok := classes[c]; ok {
		return class
	}
	return NoExplanation
}
