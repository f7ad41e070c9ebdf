// Package witness watches a cluster and remembers how Pods and Nodes left it: with the annotations
// that their DELETED event showed to every watcher, which is what Epitaph is about.
package witness

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A Death is an object as its DELETED event showed it.
type Death struct {
	Subject reason.Subject
	// Name is namespace/name of a pod, the name of a node.
	Name string
	UID  types.UID
	// Reason is what the annotations hold, valid or not; zero where there were none.
	Reason reason.Reason
	At     time.Time
	// Pod is the pod's last state; nil for a node.
	Pod *corev1.Pod
	// Node is the node's last state; nil for a pod.
	Node *corev1.Node
}

// A Witness watches pods and nodes.
type Witness struct {
	mu     sync.Mutex
	deaths map[string]Death // the last one of each name
	news   chan struct{}    // closed and replaced at each death
}

// New returns a witness that watches until ctx ends. What leaves after New has returned is seen.
func New(ctx context.Context, client kubernetes.Interface) (*Witness, error) {
	w := &Witness{deaths: map[string]Death{}, news: make(chan struct{})}
	factory := informers.NewSharedInformerFactory(client, 0)
	handler := cache.ResourceEventHandlerFuncs{DeleteFunc: w.deleted}
	for _, informer := range []cache.SharedIndexInformer{factory.Core().V1().Pods().Informer(),
		factory.Core().V1().Nodes().Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, fmt.Errorf("watch what leaves: %w", err)
		}
	}
	factory.StartWithContext(ctx)
	factory.WaitForCacheSync(ctx.Done())
	return w, ctx.Err()
}

func (w *Witness) deleted(object any) {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	d := Death{At: time.Now()}
	switch o := object.(type) {
	case *corev1.Pod:
		d.Subject, d.Name, d.UID, d.Pod = reason.Pod, o.Namespace+"/"+o.Name, o.UID, o
		d.Reason = readReason(reason.DefaultKeys().Pod, o)
	case *corev1.Node:
		d.Subject, d.Name, d.UID, d.Node = reason.Node, o.Name, o.UID, o
		d.Reason = readReason(reason.DefaultKeys().Node, o)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaths[key(d.Subject, d.Name)] = d
	close(w.news)
	w.news = make(chan struct{})
}

// readReason shows the annotations as they are; an object without any left without a reason.
func readReason(keys reason.Keys, o metav1.Object) reason.Reason {
	a := o.GetAnnotations()
	return reason.Reason{Code: reason.Code(a[keys.Code]), Text: reason.Text(a[keys.Reason]),
		By: a[keys.By]}
}

func key(s reason.Subject, name string) string { return s.String() + "/" + name }

// Sees waits until the object has left, and returns how.
func (w *Witness) Sees(ctx context.Context, s reason.Subject, name string) (Death, error) {
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
			return Death{}, fmt.Errorf("%s %s has not left: %w", s, name, ctx.Err())
		}
	}
}

// Saw tells whether the object has left already, and how.
func (w *Witness) Saw(s reason.Subject, name string) (Death, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, ok := w.deaths[key(s, name)]
	return d, ok
}
