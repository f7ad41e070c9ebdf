package definitions

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// A NewInformer is the constructor that the options of a cache take.
type NewInformer func(toolscache.ListerWatcher, runtime.Object, time.Duration,
	toolscache.Indexers) toolscache.SharedIndexInformer

// Tolerate makes informers of our own kinds treat a missing definition as an empty list. They count
// as synchronised then, so nobody waits for them, and go on asking until the definition is there.
// So does one of OwnerObituaries without the right to list them.
func Tolerate(newInformer NewInformer) NewInformer {
	return func(from toolscache.ListerWatcher, example runtime.Object, resync time.Duration,
		indexers toolscache.Indexers) toolscache.SharedIndexInformer {
		switch example.(type) {
		case *v1alpha1.NodeObituary:
			from = tolerant(from, apierrors.IsNotFound, func() runtime.Object {
				return &v1alpha1.NodeObituaryList{ListMeta: none}
			})
		case *v1alpha1.OwnerObituary:
			// Nothing depends on them but their own removal.
			from = tolerant(from, func(err error) bool {
				return apierrors.IsNotFound(err) || apierrors.IsForbidden(err)
			}, func() runtime.Object {
				return &v1alpha1.OwnerObituaryList{ListMeta: none}
			})
		}
		return newInformer(from, example, resync, indexers)
	}
}

// none is that of a list without a definition.
var none = metav1.ListMeta{ResourceVersion: "0"}

func tolerant(from toolscache.ListerWatcher, tolerable func(error) bool,
	empty func() runtime.Object) toolscache.ListerWatcher {
	asked := toolscache.ToListerWatcherWithContext(from)
	return &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object,
			error) {
			list, err := asked.ListWithContext(ctx, o)
			if tolerable(err) {
				return empty(), nil
			}
			return list, err
		},
		WatchFuncWithContext: asked.WatchWithContext,
	}
}
