package podcache

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
)

// Reads says what is looked at of a pod beyond what every reader needs.
type Reads interface {
	// Label and Annotation tell by its key whether one is kept.
	Label(key string) bool
	Annotation(key string) bool
	// Condition tells whether the condition is kept.
	Condition(c *corev1.PodCondition) bool
	// Devices are those of a container's that are kept.
	Devices(all []corev1.ResourceStatus) []corev1.ResourceStatus
}

// NewInformer is what a cache's options take as NewInformer. The informer of Pods holds records,
// with what is read of them; all other informers are client-go's.
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
		// It fails once the informer runs, and this one does not.
		_ = i.SetTransform(nil)
		return i
	}
}

// An informer of pods has records inside and shows pods outside.
type informer struct {
	toolscache.SharedIndexInformer
	reads Reads
}

// SetTransform has every pod pass the given function before a record is made of it.
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

// A handler is told of pods where its informer tells of records. Records wait in the informer's
// queues; pods live as long as the handler looks at them.
type handler struct {
	toolscache.ResourceEventHandler
}

func (h handler) OnAdd(o any, initial bool) { h.ResourceEventHandler.OnAdd(expanded(o), initial) }

func (h handler) OnUpdate(before, after any) {
	h.ResourceEventHandler.OnUpdate(expanded(before), expanded(after))
}

func (h handler) OnDelete(o any) { h.ResourceEventHandler.OnDelete(expanded(o)) }

// Kept is what a cache would have of a pod.
func Kept(p *corev1.Pod, reads Reads) *corev1.Pod { return compact(p, reads).expand() }
