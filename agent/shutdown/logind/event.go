package logind

import (
	"fmt"
	"time"
)

// A Kind says what happened.
type Kind uint8

// The kinds of events.
const (
	_ Kind = iota
	// Greeted: somebody made a call that causes no shutdown. systemctl does, before it asks for
	// one.
	Greeted
	// Asked: somebody asks for a shutdown.
	Asked
	// Scheduled: somebody asks for one at a later time.
	Scheduled
	// Unscheduled: somebody cancels that.
	Unscheduled
	// Refused: logind refuses a request.
	Refused
	// Granted: logind grants a request. For a shutdown that begins at once, it says so right after
	// Begins.
	Granted
	// Begins: a shutdown begins.
	Begins
	// CalledOff: the shutdown does not take place after all.
	CalledOff
	// Restarted: there is a new logind.
	Restarted
	// Started: systemd begins to start halt.target, poweroff.target, reboot.target …, whether or
	// not logind asked for it.
	Started
	// GivenUp: it does not after all.
	GivenUp
	// LoggedIn: a user logs in who was not logged in.
	LoggedIn
)

// An Event is something that happened.
type Event struct {
	Kind Kind
	// Sender is the caller's name on the bus, and Call the serial number of the call.
	Sender string
	Call   uint32
	// NoReply says that the caller wants no answer, so there will be none.
	NoReply bool
	// What is asked for, or begins: halt, poweroff, reboot, kexec or soft-reboot; empty if logind
	// does not say (before systemd 255, of what begins).
	What string
	// Due is when a scheduled shutdown begins.
	Due time.Time
}

// softReboot is a flag of RebootWithFlags (systemd's src/shared/login-util.h). The flag for kexec
// means nothing: systemctl sets it with each reboot.
const softReboot = 1 << 2

// asked are the methods that cause a shutdown.
var asked = map[string]string{
	"PowerOff": "poweroff", "PowerOffWithFlags": "poweroff", "Reboot": "reboot",
	"RebootWithFlags": "reboot", "Halt": "halt", "HaltWithFlags": "halt",
}

// types are the shutdowns that may be scheduled, and that logind announces (systemd's
// src/login/logind-action.c).
var types = map[string]bool{"halt": true, "poweroff": true, "reboot": true, "kexec": true,
	"soft-reboot": true}

func (k Kind) String() string {
	words := map[Kind]string{
		Greeted: "greeted", Asked: "asked", Scheduled: "scheduled", Unscheduled: "unscheduled",
		Refused: "refused", Granted: "granted", Begins: "begins", CalledOff: "called off",
		Restarted: "restarted",
		Started:   "started", GivenUp: "given up", LoggedIn: "logged in",
	}
	if word, ok := words[k]; ok {
		return word
	}
	return fmt.Sprintf("kind %d", uint8(k))
}
