package shutdown

import (
	"context"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
)

// explain says what is known of a shutdown that begins.
func (w *Watcher) explain(ctx context.Context, bus Bus, begins string) finding {
	w.hearAnswer(ctx, bus, begins)
	if a, ok := w.lately(begins, func(a ask) bool { return a.granted }); ok {
		return finding{ask: a}
	}
	if a, ok := w.lately(begins, ask.believed); ok {
		return finding{ask: a}
	}
	if w.wasPressed(ctx) {
		return finding{button: true}
	}
	if a, ok := w.due(begins); ok {
		return finding{ask: a}
	}
	// Whoever wanted no answer got none.
	if a, ok := w.lately(begins, func(a ask) bool { return a.NoReply }); ok {
		return finding{ask: a}
	}
	return finding{ask: ask{caller: w.search(ctx, bus, begins)}}
}

// answerIn is how long it may take until we hear that logind grants what begins: it says so right
// after.
const answerIn = 800 * time.Millisecond

// maxLater bounds what is kept meanwhile.
const maxLater = 256

// hearAnswer waits for the answer that tells whose request begins, if anybody waits for one. What
// else is heard meanwhile is kept for later.
func (w *Watcher) hearAnswer(ctx context.Context, bus Bus, begins string) {
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	for w.answerIsOpen(begins) {
		e, err := bus.Next(ctx)
		switch {
		case err != nil:
			return
		case e.Kind == logind.Granted || e.Kind == logind.Refused:
			w.answer(e)
		case e.Kind != logind.Greeted && len(w.later) < maxLater:
			w.later = append(w.later, e)
		}
	}
}

func (w *Watcher) answerIsOpen(begins string) bool {
	if _, granted := w.lately(begins, func(a ask) bool { return a.granted }); granted {
		return false
	}
	for _, a := range w.asked {
		if a.Kind == logind.Asked && !a.NoReply && becomes(a.What, begins) {
			return true
		}
	}
	return false
}

// next is the event that was kept, or else the next.
func (w *Watcher) next(ctx context.Context, bus Bus) (logind.Event, error) {
	if len(w.later) > 0 {
		e := w.later[0]
		w.later = w.later[1:]
		return e, nil
	}
	return bus.Next(ctx)
}
