package retention

import (
	"cmp"
	"context"
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
	surplus := len(held) - b.max
	var going []doomed
	for n := range held {
		by := byAge
		if n < surplus {
			by = byNumber
		} else if now.Sub(held[n].CreationTimestamp.Time) <= b.maxAge {
			break // the rest is younger
		}
		going = append(going, doomed{by, n})
	}
	return r.removeAll(ctx, of, going, expiredAtOnce(len(held)), func(n int) client.Object {
		return object(held[n])
	})
}
