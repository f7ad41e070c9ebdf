package retention

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// bounds are how many records there may be, and how old.
type bounds struct {
	max    int
	maxAge time.Duration
}

// pruneOldest removes the oldest of some records beyond the limit, and a share of those that are
// too old. Their age counts from their creation timestamp.
func (r *Retention) pruneOldest(ctx context.Context, of string, held []metav1.ObjectMeta, b bounds,
	now time.Time, object func(metav1.ObjectMeta) client.Object) error {
	slices.SortFunc(held, func(a, b metav1.ObjectMeta) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Name, b.Name))
	})
	surplus, share := len(held)-b.max, expiredAtOnce(len(held))
	var failures []error
	for n := range held {
		by := byAge
		switch {
		case n < surplus:
			by = byNumber
		case share > 0 && now.Sub(held[n].CreationTimestamp.Time) > b.maxAge:
			share--
		default:
			return errors.Join(failures...)
		}
		failures = append(failures, r.remove(ctx, of, by, object(held[n])))
	}
	return errors.Join(failures...)
}
