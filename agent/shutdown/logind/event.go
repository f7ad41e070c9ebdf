package logind

import (
	"fmt"
	"math"
	"time"

	"github.com/godbus/dbus/v5"
)

// A Kind says what happened.
type Kind uint8

// The kinds of events.
const (
	_ Kind = iota
	// Greeted: somebody asked something that no shutdown follows from. systemctl does, before it asks for one.
	Greeted
	// Asked: somebody asks for a shutdown.
	Asked
	// Scheduled: somebody asks for one at a later time.
	Scheduled
	// Unscheduled: somebody takes that back.
	Unscheduled
	// Refused: logind refuses what somebody asked.
	Refused
	// Begins: a shutdown begins.
	Begins
	// CalledOff: it does not take place after all.
	CalledOff
	// Restarted: there is a new logind.
	Restarted
)

// An Event is something that happened.
type Event struct {
	Kind Kind
	// Sender is the name, on the bus, of who asked, and Call the number of the question.
	Sender string
	Call   uint32
	// What is asked for, or begins: halt, poweroff, reboot, kexec or soft-reboot; empty where logind does not say (before systemd 255,
	// of what begins).
	What string
	// Due is when what is scheduled begins.
	Due time.Time
}

// softReboot is a flag of RebootWithFlags (systemd's src/shared/login-util.h). The flag for kexec says nothing: systemctl sets it with each reboot.
const softReboot = 1 << 2

// asked are the methods that a shutdown follows from.
var asked = map[string]string{
	"PowerOff": "poweroff", "PowerOffWithFlags": "poweroff", "Reboot": "reboot", "RebootWithFlags": "reboot", "Halt": "halt", "HaltWithFlags": "halt",
}

// types are what may be scheduled, and what logind says of a shutdown that begins (systemd's src/login/logind-action.c).
var types = map[string]bool{"halt": true, "poweroff": true, "reboot": true, "kexec": true, "soft-reboot": true}

// eventIn reads a message; what is of no interest is none.
func eventIn(m *dbus.Message) (Event, bool) {
	member, _ := m.Headers[dbus.FieldMember].Value().(string)
	switch m.Type {
	case dbus.TypeMethodCall:
		return callIn(m, member), true
	case dbus.TypeSignal:
		return signalIn(m, member)
	case dbus.TypeError:
		// To whom an error goes, that one asked.
		to, _ := m.Headers[dbus.FieldDestination].Value().(string)
		call, _ := m.Headers[dbus.FieldReplySerial].Value().(uint32)
		return Event{Kind: Refused, Sender: to, Call: call}, true
	default:
		return Event{}, false
	}
}

func callIn(m *dbus.Message, member string) Event {
	e := Event{Kind: Greeted, Call: m.Serial()}
	e.Sender, _ = m.Headers[dbus.FieldSender].Value().(string)
	if what, ok := asked[member]; ok {
		e.Kind, e.What = Asked, what
		if flags, ok := argument[uint64](m, 0); ok && member == "RebootWithFlags" && flags&softReboot != 0 {
			e.What = "soft-reboot"
		}
		return e
	}
	switch member {
	case "ScheduleShutdown":
		if what, _ := argument[string](m, 0); types[what] {
			due, _ := argument[uint64](m, 1)
			e.Kind, e.What, e.Due = Scheduled, what, time.UnixMicro(int64(min(due, math.MaxInt64)))
		}
	case "CancelScheduledShutdown":
		e.Kind = Unscheduled
	}
	return e
}

func signalIn(m *dbus.Message, member string) (Event, bool) {
	switch member {
	case "PrepareForShutdown", "PrepareForShutdownWithMetadata":
		begins, ok := argument[bool](m, 0)
		if !begins {
			return Event{Kind: CalledOff}, ok
		}
		e := Event{Kind: Begins}
		if metadata, _ := argument[map[string]dbus.Variant](m, 1); metadata != nil {
			if what, _ := metadata["type"].Value().(string); types[what] {
				e.What = what
			}
		}
		return e, true
	case "NameOwnerChanged":
		owned, _ := argument[string](m, 0)
		owner, _ := argument[string](m, 2)
		return Event{Kind: Restarted}, owned == name && owner != ""
	default:
		return Event{}, false
	}
}

// argument is the nth of a message, where it is of that type.
func argument[T any](m *dbus.Message, n int) (value T, ok bool) {
	if n >= len(m.Body) {
		return value, false
	}
	value, ok = m.Body[n].(T)
	return value, ok
}

func (k Kind) String() string {
	words := map[Kind]string{
		Greeted: "greeted", Asked: "asked", Scheduled: "scheduled", Unscheduled: "unscheduled", Refused: "refused", Begins: "begins", CalledOff: "called off", Restarted: "restarted",
	}
	if word, ok := words[k]; ok {
		return word
	}
	return fmt.Sprintf("kind %d", uint8(k))
}
