package retention

import (
	"cmp"
	"context"
	"errors"
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
	surplus, share := len(held)-limits.Max, expiredAtOnce(len(held))
	var failures []error
	for n := range held {
		old, by := &held[n], byAge
		switch {
		case surplus > 0 && old.Annotations[reason.HeldKey] == "":
			surplus--
			by = byNumber
		case share > 0 && now.Sub(audit.LeftAt(old)) > limits.MaxAge.Duration:
			share--
		default:
			continue
		}
		failures = append(failures, r.remove(ctx, ofNode, by, old.DeepCopy()))
	}
	return errors.Join(failures...)
}
