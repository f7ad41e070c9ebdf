package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A death is an object as its DELETED event showed it to every watcher.
type death struct {
	subject reason.Subject
	name    string // namespace/name of a pod
	reason  reason.Reason
	at      time.Time
	pod     *corev1.Pod
}

// A witness watches pods and nodes and remembers how they left.
type witness struct {
	mu     sync.Mutex
	deaths map[string]death
	news   chan struct{} // closed and replaced at each death
}

func newWitness(ctx context.Context, client kubernetes.Interface) (*witness, error) {
	w := &witness{deaths: map[string]death{}, news: make(chan struct{})}
	factory := informers.NewSharedInformerFactory(client, 0)
	handler := cache.ResourceEventHandlerFuncs{DeleteFunc: w.deleted}
	for _, informer := range []cache.SharedIndexInformer{factory.Core().V1().Pods().Informer(), factory.Core().V1().Nodes().Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, fmt.Errorf("watch what leaves: %w", err)
		}
	}
	factory.StartWithContext(ctx)
	factory.WaitForCacheSync(ctx.Done())
	return w, ctx.Err()
}

func (w *witness) deleted(object any) {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	d := death{at: time.Now()}
	switch o := object.(type) {
	case *corev1.Pod:
		d.subject, d.name, d.pod = reason.Pod, o.Namespace+"/"+o.Name, o
		d.reason = readReason(reason.DefaultKeys().Pod, o)
	case *corev1.Node:
		d.subject, d.name = reason.Node, o.Name
		d.reason = readReason(reason.DefaultKeys().Node, o)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaths[key(d.subject, d.name)] = d
	close(w.news)
	w.news = make(chan struct{})
}

// readReason shows the annotations as they are; an object without any left without a reason.
func readReason(keys reason.Keys, o metav1.Object) reason.Reason {
	a := o.GetAnnotations()
	return reason.Reason{Code: reason.Code(a[keys.Code]), Text: reason.Text(a[keys.Reason]), By: a[keys.By]}
}

func key(s reason.Subject, name string) string { return s.String() + "/" + name }

// sees waits until the object has left, and returns how.
func (w *witness) sees(ctx context.Context, s reason.Subject, name string) (death, error) {
	for {
		w.mu.Lock()
		d, ok := w.deaths[key(s, name)]
		news := w.news
		w.mu.Unlock()
		if ok {
			return d, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return death{}, fmt.Errorf("%s %s has not left: %w", s, name, ctx.Err())
		}
	}
}
