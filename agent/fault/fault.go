// Package fault names what can keep a node's last words from being sent, or the node from saying
// who switched it off or that the cloud takes it away. Each fault has a code for metrics and
// alerts, from a fixed list, and a sentence for people that ends with the remedy.
package fault

import "errors"

// A Code names a fault.
type Code string

// The codes.
const (
	NoConfigfs         Code = "NoConfigfs"
	NoModule           Code = "NoModule"
	NoPermission       Code = "NoPermission"
	NoListener         Code = "NoListener"
	NoRoute            Code = "NoRoute"
	NoNeighbour        Code = "NoNeighbour"
	UnsuitableDevice   Code = "UnsuitableDevice"
	TargetRefused      Code = "TargetRefused"
	SourcePortTaken    Code = "SourcePortTaken"
	ListenersUnread    Code = "ListenersUnread"
	NodeUnwritten      Code = "NodeUnwritten"
	ConsoleLevelUnset  Code = "ConsoleLevelUnset"
	ConsoleSilent      Code = "ConsoleSilent"
	PanicUnsent        Code = "PanicUnsent"
	NoWatchdog         Code = "NoWatchdog"
	LastBootUnread     Code = "LastBootUnread"
	NoSystemBus        Code = "NoSystemBus"
	NoDelayLock        Code = "NoDelayLock"
	CallersUnheard     Code = "CallersUnheard"
	ProcessesHidden    Code = "ProcessesHidden"
	MetadataUnread     Code = "MetadataUnread"
	UnexpectedBehavior Code = "UnexpectedBehavior"
)

// Codes returns every code.
func Codes() []Code {
	return []Code{
		NoConfigfs, NoModule, NoPermission, NoListener, NoRoute, NoNeighbour, UnsuitableDevice,
		TargetRefused, SourcePortTaken,
		ListenersUnread, NodeUnwritten, ConsoleLevelUnset, ConsoleSilent, PanicUnsent, NoWatchdog,
		LastBootUnread,
		NoSystemBus, NoDelayLock, CallersUnheard, ProcessesHidden, MetadataUnread,
		UnexpectedBehavior,
	}
}

// A Fault is something that is wrong, and what to do about it.
type Fault struct {
	Code   Code
	What   string
	Remedy string
	// Cause is the system's own error, if there was one.
	Cause error
}

// New returns a fault. Its cause may be nil.
func New(code Code, cause error, what, remedy string) *Fault {
	return &Fault{Code: code, What: what, Remedy: remedy, Cause: cause}
}

func (f *Fault) Error() string {
	text := f.What
	if f.Cause != nil {
		text += ": " + f.Cause.Error()
	}
	if f.Remedy != "" {
		text += ": " + f.Remedy
	}
	return text
}

func (f *Fault) Unwrap() error { return f.Cause }

// Of returns the fault that err is or wraps. An unforeseen error becomes one without a remedy.
func Of(err error) *Fault {
	if f := (*Fault)(nil); errors.As(err, &f) {
		return f
	}
	return New(UnexpectedBehavior, err, "unexpected error", "")
}
