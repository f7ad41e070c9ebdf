package aftermath

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// lookFor is how long after a panic was found pods of it are looked for: a kubelet needs a while to say what a restart has ended,
	// and nobody may lead just then. Evidence stays on a Node for longer (keepSurvived).
	lookFor = 50 * time.Minute
	// firstLook and lastLook are the waits between two looks: doubled from one to the other.
	firstLook = 5 * time.Second
	lastLook  = 5 * time.Minute
)

// A Terminator writes reasons onto pods. It is *termination.Terminator.
type Terminator interface {
	AnnotateUnchanged(ctx context.Context, pod *corev1.Pod, r reason.Reason) error
}

// An EventRecorder emits Events. The manager's is one.
type EventRecorder interface {
	Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any)
}

// Options are what it works with.
type Options struct {
	Keys reason.KeySet
	// Cache holds Nodes.
	Cache cache.Cache
	// Live reads from the API server itself.
	Live       client.Reader
	Nodes      *audit.NodeObituaries
	Pods       audit.PodObituaries
	Terminator Terminator
	Events     EventRecorder
	Clock      clock.WithTicker
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// An Aftermath is a runnable of the manager.
type Aftermath struct {
	Options
	metrics *metrics
	nodes   workqueue.TypedRateLimitingInterface[string]
}

// New returns one. Add it to the manager.
func New(o Options) (*Aftermath, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Aftermath{Options: o, metrics: m, nodes: workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstLook, lastLook),
		workqueue.TypedRateLimitingQueueConfig[string]{Clock: o.Clock},
	)}, nil
}

// NeedLeaderElection keeps two replicas from doing the same work. Nothing would break if they did.
func (*Aftermath) NeedLeaderElection() bool { return true }

// Start looks after nodes with late evidence until ctx is done.
func (a *Aftermath) Start(ctx context.Context) error {
	defer a.nodes.ShutDown()
	informer, err := a.Cache.GetInformer(ctx, &corev1.Node{})
	if err != nil {
		return fmt.Errorf("watch the nodes: %w", err)
	}
	see := func(object any) {
		if node, ok := object.(*corev1.Node); ok && len(a.late(node)) > 0 {
			a.nodes.Add(node.Name)
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: see,
		UpdateFunc: func(before, object any) {
			was, ok := before.(*corev1.Node)
			is, fine := object.(*corev1.Node)
			// Heartbeats are no news; a look that is due comes by itself.
			if ok && fine && was.UID == is.UID && was.Annotations[reason.EvidenceKey] == is.Annotations[reason.EvidenceKey] {
				return
			}
			see(object)
		},
	})
	if err != nil {
		return fmt.Errorf("watch the nodes: %w", err)
	}
	defer func() { _ = informer.RemoveEventHandler(registration) }()
	go a.work(ctx)
	<-ctx.Done()
	return nil
}

func (a *Aftermath) work(ctx context.Context) {
	for {
		name, quit := a.nodes.Get()
		if quit {
			return
		}
		again, err := a.look(ctx, name)
		if err != nil && ctx.Err() == nil {
			a.Log.Error(err, "look after a panic failed, will be repeated", "node", name)
		}
		if again {
			a.nodes.AddRateLimited(name)
		} else {
			a.nodes.Forget(name)
		}
		a.nodes.Done(name)
	}
}

// late are the panics that were found late, and of which pods may still turn up. Evidence that cannot be read is reported where it
// is written.
func (a *Aftermath) late(node *corev1.Node) []reason.Evidence {
	all, err := reason.EvidenceOn(node)
	if err != nil {
		return nil
	}
	var late []reason.Evidence
	for _, e := range all {
		if e.Late() && e.What == reason.EvidencePanic && e.BootID != "" && a.Clock.Since(e.Found) < lookFor {
			late = append(late, e)
		}
	}
	return late
}

// look does what there is to do for a node, and tells whether it has to be looked at again.
func (a *Aftermath) look(ctx context.Context, name string) (again bool, err error) {
	node := &corev1.Node{}
	if err := a.Live.Get(ctx, types.NamespacedName{Name: name}, node); err != nil {
		return client.IgnoreNotFound(err) != nil, client.IgnoreNotFound(err)
	}
	late := a.late(node)
	for _, e := range late {
		if err := a.settle(ctx, node, e); err != nil {
			return true, fmt.Errorf("supply the reason of what died with node %s: %w", name, err)
		}
	}
	return len(late) > 0, nil
}
