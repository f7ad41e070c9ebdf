package follow

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
)

// Archived returns what reports whether a record is stored as it is in the cluster.
func Archived(store archive.Store, cluster string) func(context.Context, client.Object) (bool,
	error) {
	return func(ctx context.Context, o client.Object) (bool, error) {
		kind := archive.PodKind
		switch o.(type) {
		case *v1alpha1.NodeObituary:
			kind = archive.NodeKind
		case *v1alpha1.OwnerObituary:
			kind = archive.OwnerKind
		}
		at, err := store.Position(ctx, cluster, kind)
		if err != nil || at.Epoch == 0 {
			return false, err
		}
		revision, err := archive.RevisionOf(o.GetResourceVersion())
		if err != nil {
			return false, err
		}
		uid := archive.UIDOf(o)
		stored, err := store.Stored(ctx, cluster, at.Epoch, map[string]int64{uid: revision})
		return stored[uid], err
	}
}
