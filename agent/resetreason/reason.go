package resetreason

import (
	"errors"
	"slices"
)

// Cause is what ended a boot.
type Cause string

// The causes.
const (
	Hardware   Cause = "hardware error"
	Overheated Cause = "overheated"
	PowerLost  Cause = "power lost"
	Watchdog   Cause = "watchdog"
	// Button: somebody, or a machine that manages this one, pressed reset, or held the power
	// button.
	Button Cause = "reset button"
)

// causes are in the order of what explains most: a watchdog strikes because of something else.
var causes = []Cause{Hardware, Overheated, PowerLost, Button, Watchdog}

// Source is who said so.
type Source string

// The sources.
const (
	BERT      Source = "BERT"
	KernelLog Source = "kernel log"
	// BootStatus is a watchdog's.
	BootStatus Source = "watchdog"
)

// A Reason is one thing that the machine says.
type Reason struct {
	Cause  Cause
	Source Source
	// Detail says more, in words of this package's.
	Detail string
	// ID tells a record that may stay for several boots from others; empty where the machine says
	// it of the last boot alone.
	ID string
}

// Places are where a machine says something.
type Places struct {
	// Firmware is /sys/firmware, Watchdogs is /sys/class/watchdog.
	Firmware, Watchdogs string
	// Log reads the kernel's log; nil leaves it out.
	Log func() (string, error)
}

// Reasons returns all that the machine says, what explains most first. An error means that
// something could not be read; what is not there at all is no error.
func (p Places) Reasons() ([]Reason, error) {
	var all []Reason
	var failed []error
	for _, read := range []func() ([]Reason, error){p.bert, p.log, p.watchdogs} {
		found, err := read()
		all, failed = append(all, found...), append(failed, err)
	}
	slices.SortStableFunc(all, func(a, b Reason) int {
		return slices.Index(causes, a.Cause) - slices.Index(causes, b.Cause)
	})
	return all, errors.Join(failed...)
}

func (p Places) log() ([]Reason, error) {
	if p.Log == nil {
		return nil, nil
	}
	text, err := p.Log()
	return inLog(text), err
}
