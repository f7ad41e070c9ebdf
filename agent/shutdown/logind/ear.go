package logind

import (
	"math"
	"strings"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind/wire"
)

// An ear tells what a message that is heard means. A bus hands a signal also to whom it is
// addressed to, and dbus-broker a call to another service to a monitor that asked for logind's: so
// names are compared here.
type ear struct {
	// logind and systemd are the connections behind their names.
	logind, systemd string
	open            []question
}

// A question is one whose answer matters.
type question struct {
	sender string
	serial uint32
}

// maxOpen bounds the questions whose answers are waited for.
const maxOpen = 1024

// hear reads a message; what is of no interest is none.
func (e *ear) hear(m wire.Message) (Event, bool) {
	switch m.Type {
	case wire.MethodCall:
		return e.call(m)
	case wire.MethodReturn:
		return e.answer(m, Granted)
	case wire.Error:
		return e.answer(m, Refused)
	case wire.Signal:
		return e.signal(m)
	default:
		return Event{}, false
	}
}

// call is one to logind's manager. Its interface may be left out.
func (e *ear) call(m wire.Message) (Event, bool) {
	toLogind := m.Destination == name || m.Destination == e.logind && e.logind != ""
	if !toLogind || m.Path != path || m.Interface != "" && m.Interface != manager {
		return Event{}, false
	}
	event := asks(m)
	if event.Kind != Greeted {
		e.open = append(e.open, question{m.Sender, m.Serial})
		e.open = e.open[max(0, len(e.open)-maxOpen):]
	}
	return event, true
}

// asks tells what is asked of the manager.
func asks(m wire.Message) Event {
	e := Event{Kind: Greeted, Sender: m.Sender, Call: m.Serial, NoReply: m.NoReply}
	if what, ok := asked[m.Member]; ok {
		e.Kind, e.What = Asked, what
		if flags, ok := m.Uint64(0); ok && m.Member == "RebootWithFlags" && flags&softReboot != 0 {
			e.What = "soft-reboot"
		}
		return e
	}
	switch m.Member {
	case "ScheduleShutdown":
		if what, _ := m.Text(0); types[what] {
			due, _ := m.Uint64(1)
			e.Kind, e.What, e.Due = Scheduled, what, time.UnixMicro(int64(min(due, math.MaxInt64)))
		}
	case "CancelScheduledShutdown":
		e.Kind = Unscheduled
	}
	return e
}

// answer is logind's to a question that matters.
func (e *ear) answer(m wire.Message, kind Kind) (Event, bool) {
	if m.Sender != e.logind {
		return Event{}, false
	}
	for n, q := range e.open {
		if q.sender == m.Destination && q.serial == m.ReplySerial {
			e.open = append(e.open[:n], e.open[n+1:]...)
			return Event{Kind: kind, Sender: q.sender, Call: q.serial}, true
		}
	}
	return Event{}, false
}

func (e *ear) signal(m wire.Message) (Event, bool) {
	switch {
	case m.Sender == daemon && m.Interface == daemon && m.Member == "NameOwnerChanged":
		return e.changed(m)
	case m.Sender == e.logind && e.logind != "" && m.Interface == manager && m.Path == path:
		return ofLogind(m)
	case m.Sender == e.systemd && e.systemd != "" && m.Interface == systemd+".Manager" &&
		m.Path == systemdPath:
		return job(m)
	default:
		return Event{}, false
	}
}

// changed is the bus saying who is behind a name from now on.
func (e *ear) changed(m wire.Message) (Event, bool) {
	of, _ := m.Text(0)
	owner, ok := m.Text(2)
	switch {
	case !ok:
		return Event{}, false
	case of == systemd:
		e.systemd = owner
		return Event{}, false
	case of == name:
		e.logind, e.open = owner, nil
		return Event{Kind: Restarted}, owner != ""
	default:
		return Event{}, false
	}
}

func ofLogind(m wire.Message) (Event, bool) {
	if m.Member == "UserNew" {
		return Event{Kind: LoggedIn}, true
	}
	if m.Member != "PrepareForShutdown" && m.Member != "PrepareForShutdownWithMetadata" {
		return Event{}, false
	}
	begins, ok := m.Bool(0)
	if !begins {
		return Event{Kind: CalledOff}, ok
	}
	e := Event{Kind: Begins}
	if what, _ := m.Entry(1, "type"); types[what] {
		e.What = what
	}
	return e, true
}

// job is systemd beginning to start what ends the machine, or giving it up.
func job(m wire.Message) (Event, bool) {
	unit, _ := m.Text(2)
	what, isTarget := strings.CutSuffix(unit, ".target")
	if !isTarget || !types[what] {
		return Event{}, false
	}
	switch m.Member {
	case "JobNew":
		return Event{Kind: Started, What: what}, true
	case "JobRemoved":
		result, _ := m.Text(3)
		return Event{Kind: GivenUp, What: what}, result == "canceled" || result == "failed" ||
			result == "dependency"
	default:
		return Event{}, false
	}
}
