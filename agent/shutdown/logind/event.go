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
	// Greeted: somebody asked something that no shutdown follows from. systemctl does, before it
	// asks for one.
	Greeted
	// Asked: somebody asks for a shutdown.
	Asked
	// Scheduled: somebody asks for one at a later time.
	Scheduled
	// Unscheduled: somebody takes that back.
	Unscheduled
	// Refused: logind refuses what somebody asked.
	Refused
	// Granted: logind does what somebody asked. Of a shutdown that begins at once, it says so right
	// after Begins.
	Granted
	// Begins: a shutdown begins.
	Begins
	// CalledOff: it does not take place after all.
	CalledOff
	// Restarted: there is a new logind.
	Restarted
	// Started: systemd begins to start halt.target, poweroff.target, reboot.target …, at logind's
	// wish or past it.
	Started
	// GivenUp: it does not after all.
	GivenUp
	// LoggedIn: somebody logs in who was not.
	LoggedIn
)

// An Event is something that happened.
type Event struct {
	Kind Kind
	// Sender is the name, on the bus, of who asked, and Call the number of the question.
	Sender string
	Call   uint32
	// NoReply says that who asked wants no answer, so that there will be none.
	NoReply bool
	// What is asked for, or begins: halt, poweroff, reboot, kexec or soft-reboot; empty where
	// logind does not say (before systemd 255, of what begins).
	What string
	// Due is when what is scheduled begins.
	Due time.Time
}

// softReboot is a flag of RebootWithFlags (systemd's src/shared/login-util.h). The flag for kexec
// says nothing: systemctl sets it with each reboot.
const softReboot = 1 << 2

// asked are the methods that a shutdown follows from.
var asked = map[string]string{
	"PowerOff": "poweroff", "PowerOffWithFlags": "poweroff", "Reboot": "reboot",
	"RebootWithFlags": "reboot", "Halt": "halt", "HaltWithFlags": "halt",
}

// types are what may be scheduled, and what logind says of a shutdown that begins (systemd's
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
