package shutdown

import (
	"slices"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An ask is something that was asked of logind and that it has not refused.
type ask struct {
	logind.Event
	at      time.Time
	caller  caller
	granted bool
}

const (
	// maxAsks bounds what is remembered.
	maxAsks = 32
	// atOnce is how soon a shutdown begins after it was asked for. A busy machine takes its time.
	atOnce = 10 * time.Second
	// early is by how much a shutdown that is due may begin early, by a clock that was set, and
	// late by how much too late: logind keeps its time, and whoever had one scheduled that did not
	// come is not to blame for the next.
	early, late = 5 * time.Second, time.Minute
)

// note remembers what is asked. What logind refuses is forgotten at once, and it goes first what
// anybody may ask: so nobody pushes out what root has asked for.
func (w *Watcher) note(a ask) {
	w.asked = append(w.asked, a)
	if len(w.asked) > maxAsks {
		n := max(0, slices.IndexFunc(w.asked, func(a ask) bool { return !a.believed() }))
		w.asked = slices.Delete(w.asked, n, n+1)
	}
}

func (w *Watcher) answer(e logind.Event) {
	isIt := func(a ask) bool { return a.Sender == e.Sender && a.Call == e.Call }
	if e.Kind == logind.Refused {
		w.asked = slices.DeleteFunc(w.asked, isIt)
	} else if n := slices.IndexFunc(w.asked, isIt); n >= 0 {
		w.asked[n].granted = true
	}
}

// believed tells whether logind does, or would at once do, what is asked. It keeps others waiting
// while polkit asks them for a password.
func (a ask) believed() bool { return a.granted || a.caller.privileged }

// lately returns who asked for what begins, of those that count. Where several did, nobody is
// named.
func (w *Watcher) lately(begins string, counts func(ask) bool) (found ask, ok bool) {
	for _, a := range w.asked {
		if a.Kind != logind.Asked || w.Clock.Since(a.at) > atOnce || !becomes(a.What, begins) ||
			!counts(a) {
			continue
		}
		if ok && a.caller.who != found.caller.who {
			a.caller = caller{}
		}
		found, ok = a, true
	}
	return found, ok
}

// due returns what was scheduled last, if it is time and nobody has taken it back.
func (w *Watcher) due(begins string) (found ask, ok bool) {
	for _, a := range w.asked {
		if (a.Kind == logind.Scheduled || a.Kind == logind.Unscheduled) && a.believed() {
			found = a
		}
	}
	over := w.Clock.Since(found.Due)
	return found, found.Kind == logind.Scheduled && becomes(found.What, begins) && over > -early &&
		over < late
}

// becomes tells whether what begins may be what was asked for. systemctl reboot becomes kexec where
// a kernel is loaded, and soft-reboot where a root is prepared. Before systemd 255 logind does not
// say what begins.
func becomes(what, begins string) bool {
	return begins == "" || what == begins || what == reason.EvidenceReboot &&
		(begins == reason.EvidenceKexec || begins == reason.EvidenceSoftReboot)
}

// evidence names what was run, or else what logind says of it, or else no more than that the
// machine was shut down.
func (a ask) evidence(begins string) reason.Evidence {
	what := a.caller.verb
	for _, other := range []string{begins, a.What, reason.EvidenceShutdown} {
		if what == "" {
			what = other
		}
	}
	command := a.caller.command
	if command == "" {
		command = what
	}
	return reason.Evidence{What: what, Who: a.caller.who, Detail: command}
}
