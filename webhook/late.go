package webhook

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

// openQuestions are those about a pod that the API server did not answer in time. The pod's reason
// may be written after the answer to its deletion, and until then they are asked again.
type openQuestions struct {
	facts reason.Facts
	// fewer is what wants fewer pods, as the owner says.
	fewer *scaled
	// What is open: what Karpenter decides about the node, the state of the pod's owner, what
	// decides about it, its devices, and who deleted the owner or had it have fewer pods.
	claim, owner, objects, devices, end bool
}

// any reports whether a question is open.
func (q *openQuestions) any() bool {
	return q.claim || q.owner || q.objects || q.devices || q.end
}

// ask adds to the facts of a pod what the API server says, and notes what it does not say in time.
// Each look-up has its own limit.
func (h *Handler) ask(ctx context.Context, q *openQuestions, endTimeout time.Duration) {
	f := &q.facts
	if q.claim {
		q.claim = !h.claimFacts(ctx, f)
	}
	if q.owner {
		var known bool
		q.fewer, known = h.ownerFacts(ctx, f)
		q.owner, q.objects, q.end = !known, true, true // they follow from it
	}
	if q.objects {
		q.objects = !h.objectFacts(ctx, f)
	}
	if q.devices {
		q.devices = !h.deviceFacts(ctx, f)
	}
	if q.end {
		q.end = !h.ownerEndFacts(ctx, f, q.fewer, endTimeout)
	}
}

const (
	// lateFor is how long after the answer open questions are asked again: the reason has to be
	// written before the collector gives the pod one, [termination.WriteBehind] after its deletion.
	// lateAgain is how often, and lateTimeout bounds all the look-ups of one time.
	lateFor, lateAgain, lateTimeout = 2 * time.Second, 100 * time.Millisecond, time.Second
)

// askLate completes the reason of a promise about which questions are open. It reports whether it
// is worth asking again before the reason is written.
func (h *Handler) askLate(ctx context.Context, uid types.UID, p *promise) (again bool) {
	if p.late == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lateTimeout)
	defer cancel()
	late := *p.late
	h.ask(ctx, &late, lateTimeout)
	if late.any() && h.clock.Since(p.at) < lateFor {
		return true
	}
	if r, ok := h.inferrer.Infer(late.facts); ok {
		p.reason = r
	}
	p.late = nil
	h.promises.settle(uid, *p)
	return false
}
