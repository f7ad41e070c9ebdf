package podcache

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
)

// Reads says what is read of a pod beyond what every reader needs.
type Reads interface {
	// Label and Annotation report whether the one with this key is kept.
	Label(key string) bool
	Annotation(key string) bool
	// Condition reports whether the condition is kept.
	Condition(c *corev1.PodCondition) bool
	// Devices returns those of a container's devices that are kept.
	Devices(all []corev1.ResourceStatus) []corev1.ResourceStatus
}

// NewInformer returns a function for the field NewInformer of a cache's options. The informer of
// Pods holds records with what is read of them; all other informers are client-go's.
func NewInformer(
	reads Reads) func(toolscache.ListerWatcher, runtime.Object, time.Duration,
	toolscache.Indexers) toolscache.SharedIndexInformer {
	return func(lw toolscache.ListerWatcher, example runtime.Object, resync time.Duration,
		indexers toolscache.Indexers) toolscache.SharedIndexInformer {
		if _, ok := example.(*corev1.Pod); !ok {
			return toolscache.NewSharedIndexInformer(lw, example, resync, indexers)
		}
		i := &informer{toolscache.NewSharedIndexInformer(lw, example, resync, reading(indexers)),
			reads}
		// It fails only on a running informer, and this one is not running.
		_ = i.SetTransform(nil)
		return i
	}
}

// An informer of pods holds records and returns pods.
type informer struct {
	toolscache.SharedIndexInformer
	reads Reads
}

// SetTransform applies the given function to every pod before turning it into a record.
func (i *informer) SetTransform(first toolscache.TransformFunc) error {
	return i.SharedIndexInformer.SetTransform(func(o any) (any, error) {
		if first != nil {
			var err error
			if o, err = first(o); err != nil {
				return nil, err
			}
		}
		if pod, ok := o.(*corev1.Pod); ok {
			return compact(pod, i.reads), nil
		}
		return o, nil
	})
}

func (i *informer) AddEventHandler(
	h toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandler(handler{h})
}

func (i *informer) AddEventHandlerWithResyncPeriod(h toolscache.ResourceEventHandler,
	resync time.Duration) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithResyncPeriod(handler{h}, resync)
}

func (i *informer) AddEventHandlerWithOptions(h toolscache.ResourceEventHandler,
	options toolscache.HandlerOptions) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithOptions(handler{h}, options)
}

func (i *informer) AddIndexers(indexers toolscache.Indexers) error {
	return i.SharedIndexInformer.AddIndexers(reading(indexers))
}

func (i *informer) GetIndexer() toolscache.Indexer {
	return indexer{i.SharedIndexInformer.GetIndexer()}
}

func (i *informer) GetStore() toolscache.Store { return i.GetIndexer() }

// A handler gets pods where its informer passes records. The informer's queues hold records; a pod
// lives only while the handler uses it.
type handler struct {
	toolscache.ResourceEventHandler
}

func (h handler) OnAdd(o any, initial bool) { h.ResourceEventHandler.OnAdd(expanded(o), initial) }

func (h handler) OnUpdate(before, after any) {
	h.ResourceEventHandler.OnUpdate(expanded(before), expanded(after))
}

func (h handler) OnDelete(o any) { h.ResourceEventHandler.OnDelete(expanded(o)) }

// Kept returns what a cache would keep of a pod.
func Kept(p *corev1.Pod, reads Reads) *corev1.Pod { return compact(p, reads).expand() }
