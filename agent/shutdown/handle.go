package shutdown

import (
	"context"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/reason"
)

func (w *Watcher) handle(ctx context.Context, bus Bus, e logind.Event) {
	switch e.Kind {
	case logind.Greeted:
		w.look(ctx, bus, e.Sender)
	case logind.Asked, logind.Scheduled, logind.Unscheduled:
		w.note(ask{Event: e, at: w.Clock.Now(), caller: w.look(ctx, bus, e.Sender)})
	case logind.Refused, logind.Granted:
		w.answer(e)
	case logind.Begins:
		w.end(ctx, bus, e)
	case logind.CalledOff, logind.Restarted:
		w.again(ctx, bus, e)
	case logind.Started:
		w.goPast(ctx, bus, e)
	case logind.GivenUp:
		w.stay(ctx)
	case logind.LoggedIn:
		w.meet(ctx, bus)
	}
}

// end is the work of a shutdown: to write while logind waits, and let it go. It is told twice by
// systemd 255 and later: the second time there is no lock any more.
func (w *Watcher) end(ctx context.Context, bus Bus, e logind.Event) {
	if w.lock == nil {
		return
	}
	defer w.release()
	w.tell(ctx, bus, e.What,
		func(ctx context.Context) finding { return w.explain(ctx, bus, e.What) })
}

// goPast is the work of a shutdown for which logind was not asked: systemd has begun it, and waits
// for nobody. Of one that logind has asked for, all is told already.
func (w *Watcher) goPast(ctx context.Context, bus Bus, e logind.Event) {
	if w.ending {
		return
	}
	// At once: systemd ends the one who asked as well.
	found := within(context.WithoutCancel(ctx), lookTimeout, func(ctx context.Context) finding {
		return finding{ask: ask{caller: w.search(ctx, bus, e.What)}}
	})
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	// Somebody may have had such a target stopped, or verified.
	if stopping, err := bus.Stopping(asking); err == nil && !stopping {
		return
	}
	w.pastLogind = true
	w.tell(ctx, bus, e.What, func(context.Context) finding { return found })
}

// A finding is what explains a shutdown: the power button, or what somebody asked for.
type finding struct {
	button bool
	ask    ask
}

// tell writes down what is found out. The agent may be ended by the very shutdown that it tells of,
// so it does not listen to that meanwhile.
func (w *Watcher) tell(ctx context.Context, bus Bus, begins string,
	explain func(context.Context) finding) {
	now := w.Clock.Now()
	w.ending = true
	w.unforget()
	ctx = context.WithoutCancel(ctx)
	patience := w.patience(ctx, bus)
	ctx, cancel := context.WithTimeout(ctx, patience-w.Clock.Since(now))
	defer cancel()
	// Half of the time is for writing.
	f := within(ctx, min(lookTimeout, patience/3), explain)
	evidence := within(ctx, patience/6,
		func(ctx context.Context) reason.Evidence { return w.evidence(ctx, bus, f, begins) })
	evidence.When, evidence.BootID = now, w.BootID
	w.Log.Info("the machine is being switched off", "what", evidence.What,
		"who", reason.Clean(evidence.Who), "command", reason.Clean(evidence.Detail))
	if err := w.testify(ctx, evidence); err != nil {
		w.Log.Error(err, "evidence not written")
		return
	}
	w.Log.Info("evidence written", "took", w.Clock.Since(now))
}

// within gives something a part of the time.
func within[T any](ctx context.Context, part time.Duration, do func(context.Context) T) T {
	ctx, cancel := context.WithTimeout(ctx, part)
	defer cancel()
	return do(ctx)
}

func (w *Watcher) evidence(ctx context.Context, bus Bus, f finding, begins string) reason.Evidence {
	if f.button {
		return reason.Evidence{What: reason.EvidencePowerButton, Detail: begins}
	}
	w.name(ctx, bus, &f.ask.caller)
	return f.ask.evidence(begins)
}

// again waits for the next shutdown. A new logind has a new lock; one that has called a shutdown
// off was given it back before.
func (w *Watcher) again(ctx context.Context, bus Bus, e logind.Event) {
	if e.Kind == logind.CalledOff {
		if w.lock != nil {
			return // It is told twice, too.
		}
		w.asked, w.ending = nil, false
		w.forget(ctx)
	}
	if err := w.take(ctx, bus); err != nil {
		w.Log.Error(err, "no delay lock")
		_ = bus.Close() // Next fails, and all begins anew.
	}
}

// stay is when systemd gives up what it had begun without logind.
func (w *Watcher) stay(ctx context.Context) {
	if w.pastLogind {
		w.pastLogind, w.ending = false, false
		w.forget(ctx)
	}
}
