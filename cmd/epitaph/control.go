package main

import (
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// control has a reconciler look at the objects of a kind that concern it. The controller joins its
// workers before the manager lets go of the lease, survives a panic of the reconciler, and counts
// its queue. It is made here and not in the edges: a manager has a client that can write.
func (p parts) control(
	name string, kind client.Object, concerns predicate.Predicate, r reconcile.Reconciler,
	o controller.Options,
) error {
	return builder.ControllerManagedBy(p.mgr).Named(name).For(kind,
		builder.WithPredicates(concerns)).
		WithOptions(o).Complete(r)
}
