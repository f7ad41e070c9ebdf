package netconsole

import (
	"bytes"
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// troublePeriod is how often one kind of trouble of one node is told: a failing disk says so a thousand times.
	troublePeriod = 10 * time.Minute
	// maxTroubleWrites are under way at a time; what comes on top is left out and comes again.
	maxTroubleWrites = 8
)

// troubles are how lines of the kernel begin that tell of failing hardware. They are looked for at the beginning only, where
// no name chosen by a user stands.
var troubles = []struct{ start, kind string }{
	{"mce: [Hardware Error]", "machine check"},
	{"{", "firmware reported error"}, // {1}[Hardware Error]: ..., drivers/acpi/apei/ghes.c
	{"EDAC ", "memory error"},
	{"NVRM: Xid", "GPU error"},
	{"I/O error, dev ", "disk I/O error"},
	{"blk_update_request: I/O error", "disk I/O error"},
	{"Buffer I/O error on dev", "disk I/O error"},
	{"EXT4-fs error ", "filesystem error"},
	{"watchdog: BUG: soft lockup", "soft lockup"},
	{"watchdog: Watchdog detected hard LOCKUP", "hard lockup"},
}

// troubleIn returns the kind of trouble that a line of the kernel tells of, or "".
func troubleIn(text []byte) string {
	for _, t := range troubles {
		if len(text) < len(t.start) || string(text[:len(t.start)]) != t.start {
			continue
		}
		switch t.kind {
		case "firmware reported error":
			if !bytes.Contains(text[:min(len(text), 24)], []byte("}[Hardware Error]")) {
				continue
			}
		case "memory error":
			if !bytes.Contains(text, []byte(" UE ")) { // uncorrectable; the corrected ones are daily bread
				continue
			}
		}
		return t.kind
	}
	return ""
}

// witness puts trouble onto the Node as evidence: if the node goes soon, this is why. Where too many are written already, as when a
// storage fails that many nodes share, it is not taken for told, and the next line of its kind is.
func (u *undertaker) witness(ctx context.Context, s *sender, h heard, now time.Time) {
	select {
	case u.witnesses <- struct{}{}:
	default:
		s.untold(h.kind)
		return
	}
	u.work.Go(func() {
		defer func() { <-u.witnesses }()
		err := u.insist(ctx, s.name, s.uid, func(n *corev1.Node) error {
			return u.terminator.Testify(ctx, n, reason.Evidence{
				What: reason.EvidenceHardware, Detail: string(reason.Clean(h.kind + ": " + h.trouble)), When: now, BootID: n.Status.NodeInfo.BootID,
			})
		})
		if err != nil {
			u.log.Info("evidence not written", "node", s.name, "kind", h.kind, "error", reason.Clean(err.Error()))
		}
	})
}
