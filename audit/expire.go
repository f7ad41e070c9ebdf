package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// minExpiredAtOnce and maxExpiredShare bound what one look removes by age, by number and as one part of so many.
const (
	minExpiredAtOnce = 16
	maxExpiredShare  = 20
)

// ExpiredAtOnce returns how many of a number of records one look may remove by age: where the API server's clock jumps along
// with ours, there is time to notice before all are gone.
func ExpiredAtOnce(held int) int { return max(minExpiredAtOnce, held/maxExpiredShare) }

// Expire removes the obituaries of nodes that left longer ago than the retention, a bounded share at once, and the oldest of
// more than there may be. It returns how many. Those that the collector's brake holds pods by go by age only.
func (o *NodeObituaries) Expire(ctx context.Context, retention time.Duration, most int) (removed int, err error) {
	all := &v1alpha1.NodeObituaryList{}
	if err := o.Cache.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return 0, fmt.Errorf("list the obituaries of nodes: %w", err)
	}
	held := slices.Clone(all.Items)
	slices.SortFunc(held, func(a, b v1alpha1.NodeObituary) int {
		return cmp.Or(LeftAt(&a).Compare(LeftAt(&b)), cmp.Compare(a.Name, b.Name))
	})
	now, err := SharedNow(ctx, o.Clock, o.Writer)
	failures := []error{err} // without the API server's time, which is zero then, nothing is old
	surplus, share := len(held)-most, ExpiredAtOnce(len(held))
	for n := range held {
		switch old := &held[n]; {
		case surplus > 0 && old.Annotations[v1alpha1.HeldAnnotation] == "":
			surplus--
		case share > 0 && now.Sub(LeftAt(old)) > retention:
			share--
		default:
			continue
		}
		gone, err := o.remove(ctx, &held[n])
		if gone {
			removed++
		}
		failures = append(failures, err)
	}
	return removed, errors.Join(failures...)
}

// remove deletes a record, and tells whether it was still there.
func (o *NodeObituaries) remove(ctx context.Context, old *v1alpha1.NodeObituary) (gone bool, err error) {
	uid := old.UID
	err = o.Writer.Delete(ctx, old.DeepCopy(), client.Preconditions{UID: &uid})
	if client.IgnoreNotFound(err) != nil {
		return false, wrapNode("remove the obituary of node", old.Spec.NodeName, err)
	}
	return err == nil, nil
}
