package netconsole

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/termination"
)

// watchNodes keeps the addresses up to date and takes up what others have left unfinished. It
// returns when all nodes are known.
func (l *Listener) watchNodes(ctx context.Context) (stop func(), err error) {
	informer, err := l.informers.GetInformer(ctx, &corev1.Node{})
	if err != nil {
		return nil, fmt.Errorf("watch the nodes: %w", err)
	}
	registration, err := informer.AddEventHandler(l.handler.guard.Handler("event of a node",
		toolscache.ResourceEventHandlerFuncs{
			AddFunc: l.see,
			UpdateFunc: func(before, object any) {
				l.forgetReplaced(before, object)
				l.see(object)
			},
			DeleteFunc: l.lose,
		}))
	if err != nil {
		return nil, fmt.Errorf("watch the nodes: %w", err)
	}
	stop = func() { _ = informer.RemoveEventHandler(registration) }
	if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		stop()
		return nil, fmt.Errorf("learn the nodes: %w", ctx.Err())
	}
	return stop, nil
}

// see records a node as it is now.
func (l *Listener) see(object any) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return
	}
	for _, address := range l.addresses.set(node) {
		l.log.Info("address claimed by several nodes, datagrams from there are refused", "address",
			address.String(), "node", node.Name)
		l.handler.events.contested(node, address)
	}
	if e, marked := termination.MarkedDead(node); marked {
		l.handler.brake.note(node.UID, l.clock.Now())
		l.handler.takeOver(panicOnRecord(node, e, l.clock.Now()))
	}
}

// forgetReplaced forgets a node that another one of the same name has replaced. After a broken
// watch, an informer reports the two as an update of one; the old one would go on claiming the
// address, and nobody would have it.
func (l *Listener) forgetReplaced(before, object any) {
	was, ok := before.(*corev1.Node)
	is, fine := object.(*corev1.Node)
	if ok && fine && was.UID != is.UID {
		l.lose(was)
	}
}

func (l *Listener) lose(object any) {
	if unknown, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	if node, ok := object.(*corev1.Node); ok {
		l.addresses.drop(node.UID)
	}
}
