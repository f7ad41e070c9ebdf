package main

import (
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/internal/guard"
)

// control has a reconciler look at the objects of a kind that concern it. The controller joins its
// workers before the manager lets go of the lease, survives a panic of the reconciler or of what
// says which objects concern it, and counts its queue. It is made here and not in the edges: a
// manager has a client that can write.
func (p parts) control(
	name string, kind client.Object, concerns predicate.Predicate, r reconcile.Reconciler,
	o controller.Options,
) error {
	return builder.ControllerManagedBy(p.mgr).Named(name).For(kind,
		builder.WithPredicates(guarded(p.events, name, concerns))).
		WithOptions(o).Complete(r)
}

// guarded keeps a panic of concerns from ending the process: controller-runtime recovers what a
// reconciler does, but calls predicates on the informer's goroutine
// (pkg/internal/source/event_handler.go). What concerns could not say is left to the reconciler.
func guarded(g *guard.Guard, name string, concerns predicate.Predicate) predicate.Predicate {
	ask := func(concerns func() bool) bool {
		answer := true
		g.Run("event for controller "+name, func() { answer = concerns() })
		return answer
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			return ask(func() bool { return concerns.Create(e) })
		},
		UpdateFunc: func(e event.UpdateEvent) bool {
			return ask(func() bool { return concerns.Update(e) })
		},
		DeleteFunc: func(e event.DeleteEvent) bool {
			return ask(func() bool { return concerns.Delete(e) })
		},
		GenericFunc: func(e event.GenericEvent) bool {
			return ask(func() bool { return concerns.Generic(e) })
		},
	}
}
