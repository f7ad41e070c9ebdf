package retention

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// ownersTimeout bounds the wait for the cache, which has no records while it may not list them.
const ownersTimeout = 10 * time.Second

// pruneOwners removes the records of owners of pods, within the limits for nodes. The next owner of
// a name renews the record of the one before: its age counts from the last deletion.
func (r *Retention) pruneOwners(ctx context.Context, now time.Time) error {
	listing, cancel := context.WithTimeout(ctx, ownersTimeout)
	defer cancel()
	all := &v1alpha1.OwnerObituaryList{}
	if err := r.Cache.List(listing, all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the records of owners: %w", err)
	}
	held := make([]metav1.ObjectMeta, len(all.Items))
	specs := make(map[string]v1alpha1.OwnerObituarySpec, len(all.Items))
	for n := range all.Items {
		o := &all.Items[n]
		specs[o.Name] = o.Spec
		held[n] = metav1.ObjectMeta{Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion,
			CreationTimestamp: o.CreationTimestamp}
		if o.CreationTimestamp.Before(&o.Spec.Removed) {
			held[n].CreationTimestamp = o.Spec.Removed
		}
	}
	return r.pruneOldest(ctx, ofOwner, held, bounds{r.Limits.Nodes.Max,
		r.Limits.Nodes.MaxAge.Duration}, now, func(m metav1.ObjectMeta) client.Object {
		return &v1alpha1.OwnerObituary{ObjectMeta: m, Spec: specs[m.Name]}
	})
}
