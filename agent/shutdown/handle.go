package shutdown

import (
	"context"
	"slices"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An ask is something that was asked of logind and that it has not refused.
type ask struct {
	logind.Event
	at     time.Time
	caller caller
}

const (
	// maxAsks bounds what is remembered. What logind refuses is forgotten at once, so that nobody can push others out.
	maxAsks = 32
	// atOnce is how soon a shutdown begins after it was asked for: logind asks the bus and polkit only. A busy machine takes its time.
	atOnce = 10 * time.Second
	// byPassword is how soon it begins where polkit asks for a password first.
	byPassword = 5 * time.Minute
	// early is by how much a shutdown that is due may begin early, by a clock that was set.
	early = 5 * time.Second
)

func (w *Watcher) handle(ctx context.Context, bus Bus, e logind.Event) {
	switch e.Kind {
	case logind.Greeted:
		w.look(ctx, bus, e.Sender)
	case logind.Asked, logind.Scheduled, logind.Unscheduled:
		w.asked = append(w.asked, ask{Event: e, at: w.Clock.Now(), caller: w.look(ctx, bus, e.Sender)})
		w.asked = w.asked[max(0, len(w.asked)-maxAsks):]
	case logind.Refused:
		w.asked = slices.DeleteFunc(w.asked, func(a ask) bool { return a.Sender == e.Sender && a.Call == e.Call })
	case logind.Begins:
		w.end(ctx, bus, e)
	case logind.CalledOff, logind.Restarted:
		w.again(ctx, bus, e)
	}
}

// end is the work of a shutdown: to write while logind waits, and let it go. It is told twice by systemd 255 and later: the second time
// there is no lock any more.
func (w *Watcher) end(ctx context.Context, bus Bus, e logind.Event) {
	if w.lock == nil {
		return
	}
	defer w.release()
	now := w.Clock.Now()
	w.unforget()
	found := w.explain(ctx, bus, e)
	found.When, found.BootID = now, w.BootID
	w.Log.Info("the machine is being switched off", "what", found.What, "who", reason.Clean(found.Who), "command", reason.Clean(found.Detail))
	if err := w.testify(ctx, bus, now, found); err != nil {
		w.Log.Error(err, "evidence not written")
		return
	}
	w.Log.Info("evidence written", "took", w.Clock.Since(now))
}

// again waits for the next shutdown. A new logind has a new lock; one that has called a shutdown off was given it back before.
func (w *Watcher) again(ctx context.Context, bus Bus, e logind.Event) {
	if e.Kind == logind.CalledOff {
		if w.lock != nil {
			return // It is told twice, too.
		}
		w.asked = nil
		w.forget(ctx)
	}
	if err := w.take(ctx, bus); err != nil {
		w.Log.Error(err, "no delay lock")
		_ = bus.Close() // Next fails, and all begins anew.
	}
}

// explain says what is known of a shutdown that begins.
func (w *Watcher) explain(ctx context.Context, bus Bus, e logind.Event) reason.Evidence {
	if a, ok := w.since(atOnce, e.What); ok {
		return a.evidence(e.What)
	}
	if w.wasPressed(ctx) {
		return reason.Evidence{What: reason.EvidencePowerButton, Detail: e.What}
	}
	if a, ok := w.due(e.What); ok {
		return a.evidence(e.What)
	}
	if a, ok := w.since(byPassword, e.What); ok {
		return a.evidence(e.What)
	}
	return ask{caller: w.search(ctx, bus)}.evidence(e.What)
}

// since returns what was asked for lately. Where several asked, nobody is named.
func (w *Watcher) since(age time.Duration, what string) (found ask, ok bool) {
	for _, a := range w.asked {
		if a.Kind != logind.Asked || w.Clock.Since(a.at) > age || !a.fits(what) {
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
func (w *Watcher) due(what string) (found ask, ok bool) {
	for _, a := range w.asked {
		if a.Kind == logind.Scheduled || a.Kind == logind.Unscheduled {
			found = a
		}
	}
	return found, found.Kind == logind.Scheduled && found.fits(what) && w.Clock.Now().After(found.Due.Add(-early))
}

// fits tells whether what begins may be what was asked for. systemctl reboot becomes kexec where a kernel is loaded, and soft-reboot where
// a root is prepared.
func (a ask) fits(begins string) bool {
	return begins == "" || a.What == begins || a.What == reason.EvidenceReboot && (begins == reason.EvidenceKexec || begins == reason.EvidenceSoftReboot)
}

// evidence names what was run, or else what logind says of it, or else no more than that the machine was shut down.
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
