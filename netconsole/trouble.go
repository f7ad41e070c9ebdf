package netconsole

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/reason/kernel"
)

// maxTroubleWrites are under way at a time; what comes on top is left out and comes again.
const maxTroubleWrites = 8

// witness puts trouble onto the Node as evidence: if the node goes soon, this is why. Where too
// many are written already, as when a storage fails that many nodes share, it is not taken for
// told, and the next line of its kind is.
func (u *undertaker) witness(ctx context.Context, s *sender, h heard, now time.Time) {
	select {
	case u.witnesses <- struct{}{}:
	default:
		s.untold(h.trouble)
		return
	}
	u.work.Go(func() {
		defer func() { <-u.witnesses }()
		err := u.insist(ctx, s.name, s.uid, func(n *corev1.Node) error {
			return u.terminator.AddEvidence(ctx, n,
				testimony(h.trouble, now, n.Status.NodeInfo.BootID))
		})
		if err != nil {
			u.log.Info("evidence not written", "node", s.name, "rule", h.trouble.Rule.ID,
				"error", reason.Clean(err.Error()))
		}
	})
}

// testimony is what a line tells, as evidence.
func testimony(f *kernel.Finding, heard time.Time, bootID string) reason.Evidence {
	e := reason.Evidence{
		What: reason.EvidenceHardware, Detail: string(reason.Clean(f.Detail())), When: heard,
		BootID: bootID,
		Rule:   f.Rule.ID, Fatal: f.Rule.Severity == kernel.Fatal,
		Until: heard.Add(f.Rule.Lasts.Duration),
	}
	if f.Rule.Severity == kernel.Trouble {
		e.What = reason.EvidenceKernel
	}
	return e
}
