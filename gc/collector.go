package gc

import (
	"context"
	"time"

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
	"github.com/epitaph-k8s/epitaph/internal/guard"
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

// Options are the settings and collaborators of a collector.
type Options struct {
	Config   config.GC
	Inferrer reason.Inferrer
	// Cache holds Pods (with the index [reason.NodeNameField]), Nodes and NodeObituaries.
	Cache cache.Cache
	// Live reads from the API server, not from the cache.
	Live       client.Reader
	Obituaries *audit.NodeObituaries
	// Owners knows who deleted the owners of pods; it may be nil.
	Owners     *audit.OwnerEnds
	Terminator Terminator
	Recorder   Recorder
	// WrittenBehind says that a webhook writes reasons, some of them up to
	// [termination.WriteBehind] after the deletion began.
	WrittenBehind bool
	Clock         clock.WithTicker
	Registerer    prometheus.Registerer
	Log           logr.Logger
}

// A Collector is a runnable that only the leader runs. It waits for its [Standby], which tracks the
// Nodes.
type Collector struct {
	config     config.GC
	inferrer   reason.Inferrer
	cache      cache.Cache
	obituaries *audit.NodeObituaries
	owners     *audit.OwnerEnds
	terminator Terminator
	recorder   Recorder
	clock      clock.WithTicker
	metrics    *metrics
	guard      *guard.Guard
	silence    time.Duration
	log        logr.Logger

	nodes     *nodeTracker
	confirmed *confirmations
	missing   *missing
	brake     *brake
	finished  *finishedPods
	turns     *turns
	subjects  workqueue.TypedRateLimitingInterface[subject]
	// counted is closed once the node tracker knows all Nodes that exist.
	counted chan struct{}
}

// A subject is a unit of examination: all pods of a node, one pod, or the finished pods beyond the
// threshold.
type subject struct {
	node    string
	pod     types.NamespacedName
	surplus bool
}

// New returns a collector. Add both it and its standby to the manager.
func New(o Options) (*Collector, error) {
	turns := newTurns(o.Clock)
	brake := newBrake(o.Config.Brake)
	m, err := newMetrics(o.Registerer, turns.Len, brake.held)
	if err != nil {
		return nil, err
	}
	g, err := guard.New(o.Registerer, "gc", o.Log)
	if err != nil {
		return nil, err
	}
	return &Collector{
		config:     o.Config,
		inferrer:   o.Inferrer,
		cache:      o.Cache,
		obituaries: o.Obituaries,
		owners:     o.Owners,
		terminator: o.Terminator,
		recorder:   o.Recorder,
		clock:      o.Clock,
		metrics:    m,
		guard:      g,
		silence:    silence(o.WrittenBehind),
		log:        o.Log,
		nodes:      newNodeTracker(),
		confirmed:  newConfirmations(o.Live, o.Clock),
		missing:    newMissing(),
		brake:      brake,
		finished:   newFinishedPods(),
		turns:      turns,
		subjects: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[subject](firstRetry, lastRetry),
			workqueue.TypedRateLimitingQueueConfig[subject]{Name: QueueSubjects, Clock: o.Clock},
		),
		counted: make(chan struct{}),
	}, nil
}

// NeedLeaderElection keeps two replicas from collecting the same pods. Nothing would break if they
// did.
func (*Collector) NeedLeaderElection() bool { return true }
