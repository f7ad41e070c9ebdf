package aftermath

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// lookFor is how long we look for pods of a panic after it was found: a kubelet needs a while
	// to report what a restart has ended, and there may be no leader just then. Evidence stays on a
	// Node for longer (keepSurvived).
	lookFor = 50 * time.Minute
	// firstLook and lastLook are the shortest and the longest wait between two looks; the waits
	// grow.
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

// Options are the collaborators of an Aftermath.
type Options struct {
	Keys reason.KeySet
	// Live reads from the API server, not from a cache.
	Live       client.Reader
	Nodes      *audit.NodeObituaries
	Pods       audit.PodObituaries
	Terminator Terminator
	Events     EventRecorder
	Clock      clock.PassiveClock
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// An Aftermath adds the reasons that were found late. It reconciles Nodes.
type Aftermath struct {
	Options
	metrics *metrics
}

// New returns an Aftermath. A controller of the leader must run it.
func New(o Options) (*Aftermath, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Aftermath{Options: o, metrics: m}, nil
}

// Limiter returns the backoff of failed looks.
func (*Aftermath) Limiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstLook,
		lastLook)
}

// Concerns selects the nodes that have late evidence. Updates that leave the evidence as it is,
// such as heartbeats, do not count: looks are repeated by time.
func (a *Aftermath) Concerns() predicate.Predicate {
	concerns := func(o client.Object) bool {
		node, ok := o.(*corev1.Node)
		return ok && len(a.late(node)) > 0
	}
	filter := predicate.NewPredicateFuncs(concerns)
	filter.UpdateFunc = func(e event.UpdateEvent) bool {
		was, is := e.ObjectOld, e.ObjectNew
		same := was.GetUID() == is.GetUID() &&
			was.GetAnnotations()[reason.EvidenceKey] == is.GetAnnotations()[reason.EvidenceKey]
		return !same && concerns(is)
	}
	return filter
}

// late returns the panics that were found late and whose pods may still turn up. Evidence that
// cannot be read is reported where it is written.
func (a *Aftermath) late(node *corev1.Node) []reason.Evidence {
	all, err := reason.EvidenceOn(node)
	if err != nil {
		return nil
	}
	var late []reason.Evidence
	for _, e := range all {
		if e.Late() && e.What == reason.EvidencePanic && e.BootID != "" &&
			a.Clock.Since(e.Found) < lookFor {
			late = append(late, e)
		}
	}
	return late
}

// Reconcile settles the late panics of a node, and repeats that while their pods may still turn up.
func (a *Aftermath) Reconcile(ctx context.Context,
	request reconcile.Request) (reconcile.Result, error) {
	node := &corev1.Node{}
	if err := a.Live.Get(ctx, request.NamespacedName, node); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	late := a.late(node)
	for _, e := range late {
		if err := a.settle(ctx, node, e); err != nil {
			return reconcile.Result{}, fmt.Errorf("supply the reason of what died with node %s: %w",
				node.Name, err)
		}
	}
	return reconcile.Result{RequeueAfter: a.next(late)}, nil
}

// next returns how long to wait until the next look: as long as the newest panic has been known,
// within firstLook and lastLook, and zero if there is none.
func (a *Aftermath) next(late []reason.Evidence) (wait time.Duration) {
	for _, e := range late {
		known := min(max(a.Clock.Since(e.Found), firstLook), lastLook)
		if wait == 0 || known < wait {
			wait = known
		}
	}
	return wait
}
