package aftermath

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// keepSurvived is how long evidence stays on a node that has survived it, for people who look. It
// is longer than lookFor, since that search depends on the evidence.
const keepSurvived = lookFor + 10*time.Minute

// survivedDue returns after how long to remove the first evidence that the node has survived, if
// there is any. Evidence that cannot be read stays, since nobody knows what it says; so does
// evidence without a time, since nobody knows how old it is.
func (s *Sweeper) survivedDue(node *corev1.Node) (wait time.Duration, ok bool) {
	all, err := reason.EvidenceOn(node)
	if err != nil {
		return 0, false
	}
	for _, e := range all {
		if !forgettable(e, node) {
			continue
		}
		if left := e.Known().Add(keepSurvived).Sub(s.Clock.Now()); !ok || left < wait {
			wait, ok = left, true
		}
	}
	return wait, ok
}

// forget removes the evidence that the node has survived: a later end must have a cause of its own.
func (s *Sweeper) forget(ctx context.Context, node *corev1.Node) error {
	err := s.Terminator.RemoveEvidence(ctx, node, func(e reason.Evidence) bool {
		return forgettable(e, node) && s.Clock.Since(e.Known()) >= keepSurvived
	})
	if err == nil {
		s.Log.Info("evidence removed: the node survived it", "node", node.Name)
	}
	return err
}

func forgettable(e reason.Evidence, node *corev1.Node) bool {
	return !e.Known().IsZero() && e.Survived(node)
}
