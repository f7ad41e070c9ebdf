package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A Tally notes when the pods of some nodes left, and with what.
type Tally struct {
	mu      sync.Mutex
	prefix  string
	gone    []time.Time
	without int
}

// Tally begins to watch the pods of the node of that name, or of all nodes whose names begin with
// it and a hyphen.
func (c *Cluster) Tally(ctx context.Context, prefix string) (*Tally, error) {
	t := &Tally{prefix: prefix}
	factory := informers.NewSharedInformerFactoryWithOptions(c.Client, 0,
		informers.WithNamespace(Namespace))
	informer := factory.Core().V1().Pods().Informer()
	if err := informer.SetTransform(onlyMeta); err != nil {
		return nil, fmt.Errorf("watch the pods: %w", err)
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		DeleteFunc: t.deleted}); err != nil {
		return nil, fmt.Errorf("watch the pods: %w", err)
	}
	factory.StartWithContext(ctx)
	factory.WaitForCacheSync(ctx.Done())
	return t, ctx.Err()
}

func onlyMeta(o any) (any, error) {
	if pod, ok := o.(*corev1.Pod); ok {
		pod.Spec, pod.Status, pod.ManagedFields = corev1.PodSpec{NodeName: pod.Spec.NodeName},
			corev1.PodStatus{}, nil
	}
	return o, nil
}

func (t *Tally) deleted(o any) {
	now := time.Now()
	pod, ok := o.(*corev1.Pod)
	if !ok || pod.Spec.NodeName != t.prefix && !strings.HasPrefix(pod.Spec.NodeName, t.prefix+"-") {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = append(t.gone, now)
	if r, err := reason.DefaultKeys().Pod.Read(pod.Annotations); err != nil ||
		r.Code == reason.Unexplained {
		t.without++
	}
}

// A Course is how long after its beginning the pods were gone: the first, the last, and all of
// them, sorted.
type Course struct {
	Pods, WithoutReason int
	First, Last         time.Duration
	All                 []time.Duration
}

// Wait returns once n pods have left.
func (t *Tally) Wait(ctx context.Context, n int, began time.Time,
	limit time.Duration) (Course, error) {
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, limit, true,
		func(context.Context) (bool, error) {
			return t.count() >= n, nil
		})
	if err != nil {
		return Course{}, fmt.Errorf("wait for %d pods to leave, %d have: %w", n, t.count(), err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	course := Course{Pods: len(t.gone), WithoutReason: t.without}
	for _, at := range t.gone {
		course.All = append(course.All, at.Sub(began))
	}
	slices.Sort(course.All)
	course.First, course.Last = course.All[0], course.All[len(course.All)-1]
	return course, nil
}

func (t *Tally) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.gone)
}
