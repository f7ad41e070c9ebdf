package webhook

import (
	"context"
	"fmt"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// follow calls look with each object of the kind that there is, and with each that changes, until stop is called.
func follow[O client.Object](ctx context.Context, c cache.Cache, kind O, look func(O)) (stop func(), err error) {
	informer, err := c.GetInformer(ctx, kind)
	if err != nil {
		return nil, fmt.Errorf("watch objects of type %T: %w", kind, err)
	}
	seen := func(object any) {
		if o, ok := object.(O); ok {
			look(o)
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: seen, UpdateFunc: func(_, object any) { seen(object) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch objects of type %T: %w", kind, err)
	}
	// It fails only for what was not registered.
	return func() { _ = informer.RemoveEventHandler(registration) }, nil
}
