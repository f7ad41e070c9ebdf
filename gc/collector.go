package gc

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A Terminator writes reasons and carries terminations out. It is *termination.Terminator.
type Terminator interface {
	AnnotateUnchanged(ctx context.Context, pod *corev1.Pod, r reason.Reason) error
	TerminatePod(ctx context.Context, pod *corev1.Pod, r reason.Reason) error
}

// A Recorder emits Events. The manager's event recorder is one.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any)
}

// Options are what a collector works with.
type Options struct {
	Config   config.GC
	Inferrer reason.Inferrer
	// Cache holds Pods (with the index [reason.NodeNameField]), Nodes and NodeObituaries.
	Cache cache.Cache
	// Live reads from the API server itself.
	Live       client.Reader
	Obituaries *audit.NodeObituaries
	Terminator Terminator
	Recorder   Recorder
	Clock      clock.WithTicker
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// A Collector is a runnable of the manager. It takes its census on every replica and collects on the leader only.
type Collector struct {
	config     config.GC
	inferrer   reason.Inferrer
	cache      cache.Cache
	obituaries *audit.NodeObituaries
	terminator Terminator
	recorder   Recorder
	clock      clock.WithTicker
	metrics    *metrics
	log        logr.Logger

	census    *census
	counted   hasSynced
	confirmed *confirmations
	missing   *missing
	brake     *brake
	finished  *finishedPods
	turns     *turns
	subjects  workqueue.TypedRateLimitingInterface[subject]
}

// A subject is what is examined: all pods of a node, one pod, or the finished pods beyond the threshold.
type subject struct {
	node    string
	pod     types.NamespacedName
	surplus bool
}

type hasSynced func() bool

// New returns a collector that has begun its census. Add it to the manager.
func New(ctx context.Context, o Options) (*Collector, error) {
	turns := newTurns()
	brake := newBrake(o.Config.Brake)
	m, err := newMetrics(o.Registerer, turns.waiting, brake.held)
	if err != nil {
		return nil, err
	}
	c := &Collector{
		config:     o.Config,
		inferrer:   o.Inferrer,
		cache:      o.Cache,
		obituaries: o.Obituaries,
		terminator: o.Terminator,
		recorder:   o.Recorder,
		clock:      o.Clock,
		metrics:    m,
		log:        o.Log,
		census:     newCensus(),
		confirmed:  newConfirmations(o.Live, o.Clock),
		missing:    newMissing(),
		brake:      brake,
		finished:   newFinishedPods(),
		turns:      turns,
		subjects: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[subject](firstRetry, lastRetry),
			workqueue.TypedRateLimitingQueueConfig[subject]{Clock: o.Clock},
		),
	}
	if err := c.takeCensus(ctx); err != nil {
		return nil, fmt.Errorf("watch the nodes: %w", err)
	}
	return c, nil
}

// NeedLeaderElection keeps two replicas from collecting the same pods. Nothing would break if they did.
func (*Collector) NeedLeaderElection() bool { return true }
