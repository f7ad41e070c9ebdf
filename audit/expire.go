package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// Expire removes the obituaries of nodes that left longer ago than the retention, and returns how many.
func (o *NodeObituaries) Expire(ctx context.Context, retention time.Duration) (removed int, err error) {
	all := &v1alpha1.NodeObituaryList{}
	if err := o.Cache.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return 0, fmt.Errorf("list the obituaries of nodes: %w", err)
	}
	var failures []error
	for n := range all.Items {
		old := &all.Items[n]
		if o.Clock.Since(LeftAt(old)) <= retention {
			continue
		}
		uid := old.UID
		switch err := o.Writer.Delete(ctx, old.DeepCopy(), client.Preconditions{UID: &uid}); {
		case client.IgnoreNotFound(err) != nil:
			failures = append(failures, wrapNode("remove the obituary of node", old.Spec.NodeName, err))
		case err == nil:
			removed++
		}
	}
	return removed, errors.Join(failures...)
}
