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
	return followAll(ctx, c, kind, func(_, o O, gone bool) {
		if !gone {
			look(o)
		}
	})
}

// followAll is follow that tells also how an object was before, where that was seen, and of those that are gone.
func followAll[O client.Object](ctx context.Context, c cache.Cache, kind O, look func(before, o O, gone bool)) (stop func(), err error) {
	informer, err := c.GetInformer(ctx, kind)
	if err != nil {
		return nil, fmt.Errorf("watch objects of type %T: %w", kind, err)
	}
	seen := func(before, object any, gone bool) {
		if missed, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
			object = missed.Obj
		}
		if o, ok := object.(O); ok {
			was, _ := before.(O)
			look(was, o, gone)
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { seen(nil, object, false) },
		UpdateFunc: func(before, object any) { seen(before, object, false) },
		DeleteFunc: func(object any) { seen(nil, object, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch objects of type %T: %w", kind, err)
	}
	// It fails only for what was not registered.
	return func() { _ = informer.RemoveEventHandler(registration) }, nil
}
