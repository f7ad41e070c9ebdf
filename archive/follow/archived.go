package follow

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/archive"
)

// Archived returns what tells which records of one kind are stored as they are in the cluster.
func Archived(store archive.Store, cluster string) func(context.Context,
	[]client.Object) (map[types.UID]bool, error) {
	return func(ctx context.Context, all []client.Object) (map[types.UID]bool, error) {
		if len(all) == 0 {
			return nil, nil
		}
		at, err := store.Position(ctx, cluster, archive.KindOf(all[0]))
		if err != nil || at.Epoch == 0 {
			return nil, err
		}
		revisions := make(map[string]int64, len(all))
		for _, o := range all {
			revision, err := archive.RevisionOf(o.GetResourceVersion())
			if err != nil {
				return nil, err
			}
			revisions[archive.UIDOf(o)] = revision
		}
		stored, err := store.Stored(ctx, cluster, at.Epoch, revisions)
		if err != nil {
			return nil, err
		}
		archived := make(map[types.UID]bool, len(stored))
		for _, o := range all {
			archived[o.GetUID()] = stored[archive.UIDOf(o)]
		}
		return archived, nil
	}
}
