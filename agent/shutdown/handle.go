package shutdown

import (
	"context"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/ledger"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/reason"
)

func (w *Watcher) handle(ctx context.Context, bus Bus, e logind.Event) {
	switch e.Kind {
	case logind.Greeted:
		w.look(ctx, bus, e.Sender)
	case logind.Asked, logind.Scheduled, logind.Unscheduled:
		at := w.Clock.Now()
		w.ledger.Push(e, w.look(ctx, bus, e.Sender), at)
	case logind.Refused, logind.Granted:
		w.ledger.Push(e, ledger.Caller{}, w.Clock.Now())
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

// end handles a shutdown: it writes the evidence while logind waits, and then releases the lock.
// systemd 255 and later announce it twice: the second time there is no lock any more.
func (w *Watcher) end(ctx context.Context, bus Bus, e logind.Event) {
	if w.lock == nil {
		return
	}
	defer w.release()
	w.tell(ctx, bus, e.What,
		func(ctx context.Context) ledger.Finding { return w.explain(ctx, bus, e.What) })
}

// goPast handles a shutdown for which logind was not asked: systemd has begun it, and waits for
// nobody. If logind asked for it, all has been written already.
func (w *Watcher) goPast(ctx context.Context, bus Bus, e logind.Event) {
	if w.ending {
		return
	}
	// At once: systemd also ends the process that asked.
	found := within(context.WithoutCancel(ctx), lookTimeout,
		func(ctx context.Context) ledger.Finding {
			return ledger.FromRunning(w.search(ctx, bus, e.What))
		})
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	// Somebody may have stopped such a target, or had it verified.
	if stopping, err := bus.Stopping(asking); err == nil && !stopping {
		return
	}
	w.pastLogind = true
	w.tell(ctx, bus, e.What, func(context.Context) ledger.Finding { return found })
}

// tell writes down what is found out. The shutdown may itself end the agent, so tell ignores the
// end of the context.
func (w *Watcher) tell(ctx context.Context, bus Bus, begins string,
	explain func(context.Context) ledger.Finding) {
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
	if err := w.write(ctx, evidence); err != nil {
		w.Log.Error(err, "evidence not written")
		return
	}
	w.Log.Info("evidence written", "took", w.Clock.Since(now))
}

// within limits something to a part of the time.
func within[T any](ctx context.Context, part time.Duration, do func(context.Context) T) T {
	ctx, cancel := context.WithTimeout(ctx, part)
	defer cancel()
	return do(ctx)
}

func (w *Watcher) evidence(ctx context.Context, bus Bus, f ledger.Finding,
	begins string) reason.Evidence {
	w.name(ctx, bus, &f.Caller)
	return f.Evidence(begins)
}

// again waits for the next shutdown. A new logind needs a new lock; one that has called a shutdown
// off got its lock back before.
func (w *Watcher) again(ctx context.Context, bus Bus, e logind.Event) {
	if e.Kind == logind.CalledOff {
		if w.lock != nil {
			return // It is announced twice, too.
		}
		w.ledger, w.ending = ledger.Ledger{}, false
		w.forget(ctx)
	}
	if err := w.take(ctx, bus); err != nil {
		w.Log.Error(err, "no delay lock")
		_ = bus.Close() // Next fails, and everything starts over.
	}
}

// stay handles systemd giving up what it had begun without logind.
func (w *Watcher) stay(ctx context.Context) {
	if w.pastLogind {
		w.pastLogind, w.ending = false, false
		w.forget(ctx)
	}
}
