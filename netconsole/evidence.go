package netconsole

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/reason/kernel"
)

// maxTroubleWrites bounds the writes under way at a time. Trouble beyond it is dropped, and told
// with the next line of its kind.
const maxTroubleWrites = 8

// noteEvidence writes trouble onto the Node as evidence: if the node goes soon, this is why. If too
// many writes are under way, as when a storage that many nodes share fails, the trouble counts as
// untold, so that the next line of its kind is told.
func (p *panicHandler) noteEvidence(ctx context.Context, s *sender, h heard, now time.Time) {
	select {
	case p.evidenceSeats <- struct{}{}:
	default:
		s.untold(h.trouble)
		return
	}
	p.work.Go(func() {
		defer func() { <-p.evidenceSeats }()
		err := p.writeUntilDone(ctx, s.name, s.uid, func(n *corev1.Node) error {
			return p.terminator.AddEvidence(ctx, n,
				evidenceOf(h.trouble, now, n.Status.NodeInfo.BootID))
		})
		if err != nil {
			p.log.Info("evidence not written", "node", s.name, "rule", h.trouble.Rule.ID,
				"error", reason.Clean(err.Error()))
		}
	})
}

// evidenceOf turns a finding into evidence.
func evidenceOf(f *kernel.Finding, heard time.Time, bootID string) reason.Evidence {
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
