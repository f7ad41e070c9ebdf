package shutdown

import (
	"context"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/ledger"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
)

// answerIn is how long we wait to hear that logind grants what begins: it answers right after.
const answerIn = 800 * time.Millisecond

// explain says what is known of a shutdown that begins, and finds out what the ledger needs to
// know.
func (w *Watcher) explain(ctx context.Context, bus Bus, begins string) ledger.Finding {
	waiting, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	var known ledger.Facts
	for {
		found, need := w.ledger.Explain(begins, w.Clock.Now(), known)
		switch need {
		case ledger.Answer:
			known.Waited = !w.hearAnswer(waiting, bus)
		case ledger.Button:
			pressed := w.wasPressed(ctx)
			known.Button = &pressed
		case ledger.Running:
			known.Running, known.Searched = w.search(ctx, bus, begins), true
		case ledger.Nothing:
			return found
		}
	}
}

// maxLater bounds what is kept while we wait for an answer.
const maxLater = 256

// hearAnswer takes one more event; false when the time is over. An event that is no answer is kept
// for later.
func (w *Watcher) hearAnswer(ctx context.Context, bus Bus) bool {
	e, err := bus.Next(ctx)
	switch {
	case err != nil:
		return false
	case e.Kind == logind.Granted || e.Kind == logind.Refused:
		w.ledger.Push(e, ledger.Caller{}, w.Clock.Now())
	case e.Kind != logind.Greeted && len(w.later) < maxLater:
		w.later = append(w.later, e)
	}
	return true
}

// next returns the first event that was kept, or else the next.
func (w *Watcher) next(ctx context.Context, bus Bus) (logind.Event, error) {
	if len(w.later) > 0 {
		e := w.later[0]
		w.later = w.later[1:]
		return e, nil
	}
	return bus.Next(ctx)
}
