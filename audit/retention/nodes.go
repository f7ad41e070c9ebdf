package retention

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

// pruneNodes removes the obituaries of nodes that left longer ago than the retention, a bounded
// share at once, and the oldest beyond the limit. Those by which the collector's brake holds pods
// are removed by age only.
func (r *Retention) pruneNodes(ctx context.Context, now time.Time) error {
	all := &v1alpha1.NodeObituaryList{}
	if err := r.Cache.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the obituaries of nodes: %w", err)
	}
	held := slices.Clone(all.Items)
	slices.SortFunc(held, func(a, b v1alpha1.NodeObituary) int {
		return cmp.Or(audit.LeftAt(&a).Compare(audit.LeftAt(&b)), cmp.Compare(a.Name, b.Name))
	})
	limits := r.Limits.Nodes
	surplus := len(held) - limits.Max
	var going []doomed
	for n := range held {
		old := &held[n]
		if surplus > 0 && old.Annotations[reason.HeldKey] == "" {
			surplus--
			going = append(going, doomed{byNumber, n})
		} else if now.Sub(audit.LeftAt(old)) > limits.MaxAge.Duration {
			going = append(going, doomed{byAge, n})
		}
	}
	return r.removeAll(ctx, ofNode, going, expiredAtOnce(len(held)), func(n int) client.Object {
		return held[n].DeepCopy()
	})
}
