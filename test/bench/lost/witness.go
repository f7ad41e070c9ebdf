package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/bench"
)

// A witness counts the pods that it sees leave, in all namespaces.
type witness struct {
	mu   sync.Mutex
	left map[string]int
	// without are the names of those whose last event had no reason; blind counts those whose last
	// event was missed.
	without []string
	blind   int
}

// watch begins to watch until ctx ends.
func watch(ctx context.Context, c *bench.Cluster) (*witness, error) {
	w := &witness{left: map[string]int{}}
	factory := informers.NewSharedInformerFactory(c.Client, 0)
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(
		cache.ResourceEventHandlerFuncs{DeleteFunc: w.deleted}); err != nil {
		return nil, fmt.Errorf("watch the pods: %w", err)
	}
	factory.StartWithContext(ctx)
	factory.WaitForCacheSync(ctx.Done())
	return w, ctx.Err()
}

func (w *witness) deleted(o any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if unknown, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o, w.blind = unknown.Obj, w.blind+1
	}
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	group, _, _ := strings.Cut(pod.Name, "-")
	w.left[group]++
	if _, err := reason.DefaultKeys().Pod.OnPod(pod); err != nil {
		w.without = append(w.without, pod.Namespace+"/"+pod.Name)
	}
}

// goneLimit bounds a wait for the last pod of a batch. It is no measure of speed.
const goneLimit = 10 * time.Minute

// sees waits until so many pods of a group have left.
func (w *witness) sees(ctx context.Context, group string, n int) error {
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, goneLimit, true,
		func(context.Context) (bool, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.left[group] >= n, nil
		})
	if err != nil {
		return fmt.Errorf("wait for the %d pods of %s to leave: %w", n, group, err)
	}
	return nil
}

// verdict says what was seen, and fails if a pod left without a reason or a last event was missed.
func (w *witness) verdict() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.without) > 0 || w.blind > 0 {
		return fmt.Errorf("%d pods left without a reason, %d unseen: %.400q", len(w.without),
			w.blind, w.without)
	}
	return nil
}
