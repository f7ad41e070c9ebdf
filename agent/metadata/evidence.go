package metadata

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

const (
	// maxNotices bounds the evidence of one cloud: a Node keeps twelve pieces.
	maxNotices = 4
	// refresh is how often a Node is looked at that has evidence: it may be created anew.
	refresh = time.Minute
	// attempts are made at once if somebody else writes to the Node, attemptPause apart.
	attempts     = 4
	attemptPause = 50 * time.Millisecond
)

// hear takes in what the service says. If it did not answer everything, what it said before stands.
func (w *Watcher) hear(notices []Notice, all bool) {
	now := w.Clock.Now()
	stands := map[string]heard{}
	if !all {
		stands = maps.Clone(w.heard)
	}
	for _, n := range notices {
		if len(stands) == maxNotices {
			break
		}
		before, known := w.heard[n.ID]
		if known && before.repeats(n) {
			stands[n.ID] = before
			continue
		}
		stands[n.ID] = heard{n, now}
		w.Log.Info("the cloud announces", "what", n.What,
			"detail", reason.CleanTo(n.Detail, maxDetail), "due", n.Due)
	}
	w.heard, w.heardAll = stands, w.heardAll || all
}

// due returns the evidence that the Node should have now.
func (w *Watcher) due(cloud string) []reason.Evidence {
	now := w.Clock.Now()
	var all []reason.Evidence
	for _, id := range slices.Sorted(maps.Keys(w.heard)) {
		if h := w.heard[id]; h.counts(now) {
			all = append(all, h.evidence(cloud, w.BootID))
		}
	}
	return all
}

// write makes the Node have the evidence that is due, and no other of the cloud's. Mostly there is
// none, which costs no request.
func (w *Watcher) write(ctx context.Context, cloud string) error {
	due, now := w.due(cloud), w.Clock.Now()
	if w.settled(due, now) {
		return nil
	}
	for n := range attempts {
		err := w.attempt(ctx, due)
		if err == nil {
			w.written = due
			if w.heardAll {
				w.writtenAt = now
			}
			return nil
		}
		if !errors.Is(err, termination.ErrChanged) || n == attempts-1 ||
			!pause.For(ctx, w.Clock, attemptPause) {
			return err
		}
	}
	return nil
}

// settled reports whether the Node is known to have what is due. Before the service has answered,
// evidence that an earlier agent left may still stand.
func (w *Watcher) settled(due []reason.Evidence, now time.Time) bool {
	if len(due) == 0 && !w.heardAll {
		return true
	}
	return !w.writtenAt.IsZero() && slices.EqualFunc(due, w.written, same) &&
		(len(due) == 0 || now.Sub(w.writtenAt) < refresh)
}

func (w *Watcher) attempt(ctx context.Context, due []reason.Evidence) error {
	node, err := w.node(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	known, unreadable := reason.EvidenceOn(node)
	if unreadable == nil && slices.ContainsFunc(known, w.withdrawn(due)) {
		if err := w.Terminator.RemoveEvidence(ctx, node, w.withdrawn(due)); err != nil {
			return err
		}
		w.Log.Info("the cloud's announcement no longer stands")
		if node, err = w.node(ctx); err != nil {
			return err
		}
	}
	for _, e := range due {
		if slices.ContainsFunc(known, func(k reason.Evidence) bool { return same(k, e) }) {
			continue
		}
		if err := w.Terminator.AddEvidence(ctx, node, e); err != nil {
			return err
		}
		if node, err = w.node(ctx); err != nil {
			return err
		}
	}
	return nil
}

// withdrawn returns which evidence on the Node is no longer due: of this boot, and of nobody but
// the cloud. Nothing is withdrawn before the service has answered.
func (w *Watcher) withdrawn(due []reason.Evidence) func(reason.Evidence) bool {
	return func(e reason.Evidence) bool {
		return w.heardAll && e.Announced() && e.BootID == w.BootID &&
			!slices.ContainsFunc(due, func(d reason.Evidence) bool { return same(d, e) })
	}
}

// same compares all but when it was heard, as [termination.Terminator.AddEvidence] does.
func same(a, b reason.Evidence) bool {
	return a.What == b.What && a.Who == b.Who && a.Detail == b.Detail && a.BootID == b.BootID
}
