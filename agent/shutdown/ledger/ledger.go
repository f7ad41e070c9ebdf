// Package ledger decides who caused a shutdown, from what was heard of it: requests to logind, its
// answers, and what the watcher finds out when a shutdown begins. Events, callers and times are its
// arguments.
//
// A shutdown is caused by the first of these that applies:
//   - whoever asked for what begins and is granted it by logind: for root at once, for others as
//     soon as its answer is heard;
//   - the power button;
//   - whoever had scheduled a shutdown that is due;
//   - whoever asked and wanted no answer;
//   - whoever runs halt, reboot … at that moment.
//
// What this package does not do: listen, wait, or name callers.
package ledger

import (
	"slices"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxRequests bounds how many requests are remembered.
	maxRequests = 32
	// atOnce is how soon a shutdown begins after it was asked for. A busy machine takes its time.
	atOnce = 10 * time.Second
	// early is how much too early a shutdown that is due may begin, since clocks may be set, and
	// late how much too late. logind is punctual, and whoever had scheduled a shutdown that did not
	// come is not to blame for the next one.
	early, late = 5 * time.Second, time.Minute
)

// A Caller is what is known of somebody who asks for a shutdown. The zero value means that nobody
// is known.
type Caller struct {
	// Who is their name, Verb the kind of end that they run, as in evidence, and Command what they
	// typed.
	Who, Verb, Command string
	// Privileged means root on the bus: neither logind nor polkit keeps it waiting.
	Privileged bool
	// Unnamed is the UID in Who, as long as logind has not provided the name.
	Unnamed *uint32
}

// A request is something that logind was asked for and has not refused.
type request struct {
	logind.Event
	at      time.Time
	caller  Caller
	granted bool
}

// A Ledger holds the requests of one connection to the bus, oldest first. The zero value is empty.
type Ledger struct{ requests []request }

// Push takes an event that was heard. If it asks for something, c is who asks.
func (l *Ledger) Push(e logind.Event, c Caller, now time.Time) {
	switch e.Kind {
	case logind.Asked, logind.Scheduled, logind.Unscheduled:
		l.add(request{Event: e, at: now, caller: c})
	case logind.Granted, logind.Refused:
		l.answer(e)
	default: // neither a request nor an answer
	}
}

// add remembers a request. Those that logind refuses are forgotten at once, and those that anybody
// may make are dropped first, so nobody can push out root's request.
func (l *Ledger) add(r request) {
	l.requests = append(l.requests, r)
	if len(l.requests) > maxRequests {
		n := max(0, slices.IndexFunc(l.requests, func(r request) bool { return !r.believed() }))
		l.requests = slices.Delete(l.requests, n, n+1)
	}
}

func (l *Ledger) answer(e logind.Event) {
	isIt := func(r request) bool { return r.Sender == e.Sender && r.Call == e.Call }
	if e.Kind == logind.Refused {
		l.requests = slices.DeleteFunc(l.requests, isIt)
	} else if n := slices.IndexFunc(l.requests, isIt); n >= 0 {
		l.requests[n].granted = true
	}
}

// believed reports whether logind grants the request, or would grant it at once. It keeps others
// waiting while polkit asks them for a password.
func (r request) believed() bool { return r.granted || r.caller.Privileged }

// Facts are what was found out since a shutdown began.
type Facts struct {
	// Waited says that we waited for logind's answers for long enough.
	Waited bool
	// Button says whether the power button was pressed; nil if that is not known yet.
	Button *bool
	// Searched says that Running is everybody who runs halt, reboot … now.
	Searched bool
	Running  []Caller
}

// A Need is what has to be found out before a shutdown can be explained.
type Need uint8

// The needs.
const (
	// Nothing: it is explained.
	Nothing Need = iota
	// Answer: logind's next answer.
	Answer
	// Button: whether the power button was pressed.
	Button
	// Running: who runs such a command now.
	Running
)

// A Finding explains a shutdown.
type Finding struct {
	// Button says that the power button was pressed. Otherwise the Caller did it; the zero Caller
	// means that nobody is known.
	Button bool
	Caller Caller
	// What was asked of logind; empty if it was not asked.
	What string
}

// Explain explains a shutdown of this kind that begins now, or says what has to be found out first.
func (l *Ledger) Explain(begins string, now time.Time, f Facts) (Finding, Need) {
	granted := func(r request) bool { return r.granted }
	if r, ok := l.recent(begins, now, granted); ok {
		return r.finding(), Nothing
	}
	if !f.Waited && l.answerIsOpen(begins) {
		return Finding{}, Answer
	}
	if r, ok := l.recent(begins, now, request.believed); ok {
		return r.finding(), Nothing
	}
	if f.Button == nil {
		return Finding{}, Button
	}
	if *f.Button {
		return Finding{Button: true}, Nothing
	}
	if r, ok := l.due(begins, now); ok {
		return r.finding(), Nothing
	}
	// Whoever wanted no answer got none.
	if r, ok := l.recent(begins, now, func(r request) bool { return r.NoReply }); ok {
		return r.finding(), Nothing
	}
	if !f.Searched {
		return Finding{}, Running
	}
	return FromRunning(f.Running), Nothing
}

// FromRunning explains a shutdown by those who run such a command. If they are different people,
// nobody is named.
func FromRunning(running []Caller) Finding {
	var found Caller
	for _, c := range running {
		if found.Who != "" && found.Who != c.Who {
			return Finding{}
		}
		found = c
	}
	return Finding{Caller: found}
}

// answerIsOpen reports whether logind still has to answer somebody who asked for what begins.
func (l *Ledger) answerIsOpen(begins string) bool {
	return slices.ContainsFunc(l.requests, func(r request) bool {
		return r.Kind == logind.Asked && !r.NoReply && Becomes(r.What, begins)
	})
}

// recent returns who asked a moment ago for what begins, of those that count. If several people
// did, nobody is named.
func (l *Ledger) recent(begins string, now time.Time,
	counts func(request) bool) (found request, ok bool) {
	for _, r := range l.requests {
		if r.Kind != logind.Asked || now.Sub(r.at) > atOnce || !Becomes(r.What, begins) ||
			!counts(r) {
			continue
		}
		if ok && r.caller.Who != found.caller.Who {
			r.caller = Caller{}
		}
		found, ok = r, true
	}
	return found, ok
}

// due returns what was scheduled last, if it is time and nobody has taken it back.
func (l *Ledger) due(begins string, now time.Time) (found request, ok bool) {
	for _, r := range l.requests {
		if (r.Kind == logind.Scheduled || r.Kind == logind.Unscheduled) && r.believed() {
			found = r
		}
	}
	over := now.Sub(found.Due)
	return found, found.Kind == logind.Scheduled && Becomes(found.What, begins) && over > -early &&
		over < late
}

func (r request) finding() Finding { return Finding{Caller: r.caller, What: r.What} }

// Becomes reports whether what begins may be what was asked for. systemctl reboot becomes kexec if
// a kernel is loaded, and soft-reboot if a root is prepared. Before systemd 255 logind does not say
// what begins.
func Becomes(what, begins string) bool {
	return begins == "" || what == begins || what == reason.EvidenceReboot &&
		(begins == reason.EvidenceKexec || begins == reason.EvidenceSoftReboot)
}

// Evidence names the command, or else what logind says, or else merely that the machine was shut
// down.
func (f Finding) Evidence(begins string) reason.Evidence {
	if f.Button {
		return reason.Evidence{What: reason.EvidencePowerButton, Detail: begins}
	}
	what := f.Caller.Verb
	for _, other := range []string{begins, f.What, reason.EvidenceShutdown} {
		if what == "" {
			what = other
		}
	}
	command := f.Caller.Command
	if command == "" {
		command = what
	}
	return reason.Evidence{What: what, Who: f.Caller.Who, Detail: command}
}
