package logind

import (
	"math"
	"strings"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind/wire"
)

// A decoder interprets messages. A bus delivers signals that are addressed to us whoever sent them,
// and dbus-broker delivers calls to other services to a monitor that asked for logind's alone. So
// names are compared here.
type decoder struct {
	// logind and systemd are the connections behind their names.
	logind, systemd string
	open            []question
}

// A question is a call whose answer matters.
type question struct {
	sender string
	serial uint32
}

// maxOpen bounds the calls whose answers are awaited.
const maxOpen = 1024

// decode interprets a message; ok is false if it is of no interest.
func (d *decoder) decode(m wire.Message) (Event, bool) {
	switch m.Type {
	case wire.MethodCall:
		return d.call(m)
	case wire.MethodReturn:
		return d.answer(m, Granted)
	case wire.Error:
		return d.answer(m, Refused)
	case wire.Signal:
		return d.signal(m)
	default:
		return Event{}, false
	}
}

// call interprets a call to logind's manager. Its interface may be left out.
func (d *decoder) call(m wire.Message) (Event, bool) {
	toLogind := m.Destination == name || m.Destination == d.logind && d.logind != ""
	if !toLogind || m.Path != path || m.Interface != "" && m.Interface != manager {
		return Event{}, false
	}
	event := asks(m)
	if event.Kind != Greeted {
		d.open = append(d.open, question{m.Sender, m.Serial})
		d.open = d.open[max(0, len(d.open)-maxOpen):]
	}
	return event, true
}

// asks returns what is asked of the manager.
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

// answer interprets logind's answer to a call that matters.
func (d *decoder) answer(m wire.Message, kind Kind) (Event, bool) {
	if m.Sender != d.logind {
		return Event{}, false
	}
	for n, q := range d.open {
		if q.sender == m.Destination && q.serial == m.ReplySerial {
			d.open = append(d.open[:n], d.open[n+1:]...)
			return Event{Kind: kind, Sender: q.sender, Call: q.serial}, true
		}
	}
	return Event{}, false
}

func (d *decoder) signal(m wire.Message) (Event, bool) {
	switch {
	case m.Sender == daemon && m.Interface == daemon && m.Member == "NameOwnerChanged":
		return d.changed(m)
	case m.Sender == d.logind && d.logind != "" && m.Interface == manager && m.Path == path:
		return ofLogind(m)
	case m.Sender == d.systemd && d.systemd != "" && m.Interface == systemd+".Manager" &&
		m.Path == systemdPath:
		return job(m)
	default:
		return Event{}, false
	}
}

// changed handles a change of the connection behind a name.
func (d *decoder) changed(m wire.Message) (Event, bool) {
	of, _ := m.Text(0)
	owner, ok := m.Text(2)
	switch {
	case !ok:
		return Event{}, false
	case of == systemd:
		d.systemd = owner
		return Event{}, false
	case of == name:
		d.logind, d.open = owner, nil
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

// job interprets systemd's start of a unit that ends the machine, or its giving that up.
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
