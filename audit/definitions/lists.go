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

// A NewInformer is what the options of a cache take.
type NewInformer func(toolscache.ListerWatcher, runtime.Object, time.Duration,
	toolscache.Indexers) toolscache.SharedIndexInformer

// Tolerate makes informers of our own kinds take a definition that is missing for a list without
// objects, which is what it comes to. They are synchronised then, so nobody waits for them, and go
// on asking until the definition is there.
func Tolerate(newInformer NewInformer) NewInformer {
	return func(from toolscache.ListerWatcher, example runtime.Object, resync time.Duration,
		indexers toolscache.Indexers) toolscache.SharedIndexInformer {
		if _, ok := example.(*v1alpha1.NodeObituary); ok {
			from = tolerant(toolscache.ToListerWatcherWithContext(from))
		}
		return newInformer(from, example, resync, indexers)
	}
}

func tolerant(from toolscache.ListerWatcherWithContext) toolscache.ListerWatcher {
	return &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object,
			error) {
			list, err := from.ListWithContext(ctx, o)
			if apierrors.IsNotFound(err) {
				return &v1alpha1.NodeObituaryList{ListMeta: metav1.ListMeta{ResourceVersion: "0"}},
					nil
			}
			return list, err
		},
		WatchFuncWithContext: from.WatchWithContext,
	}
}
