package reports

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
)

// Queue is the name of the queue, which client-go's own metrics have as a label.
const Queue = "policy-reports"

const (
	// perSecond and burst bound the reports that are looked at, whatever happens in how many
	// namespaces.
	perSecond, burst = 5, 10
	// firstRetry and lastRetry are the waits after a conflict or a fault: doubled from one to the
	// other.
	firstRetry = time.Second
	lastRetry  = time.Minute
	// patience is the wait after what only somebody else can change.
	patience = 15 * time.Second
)

// Options are what the reports are made with.
type Options struct {
	Config config.Reports
	// Enforced tells whether deletions without a reason are denied where that can be.
	Enforced bool
	// Cache holds NodeObituaries.
	Cache cache.Cache
	// API watches and reads PodObituaries past the cache, and writes reports.
	API        client.WithWatch
	Clock      clock.WithTicker
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// Reports is a runnable of the manager.
type Reports struct {
	Options
	api     api
	verdict verdict
	metric  *prometheus.CounterVec
	// dirty are the namespaces whose report may have to be written; the empty one is the cluster.
	dirty workqueue.TypedRateLimitingInterface[string]
	pace  flowcontrol.RateLimiter
	// troubled are the namespaces whose last outcome was one that somebody was told of.
	troubled map[string]outcome
}

// New returns it. Add it to the manager.
func New(o Options) (*Reports, error) {
	metric, err := newMetric(o.Registerer)
	if err != nil {
		return nil, err
	}
	r := &Reports{
		Options: o, api: apis[o.Config.Format],
		verdict: verdict{result: unenforced, max: o.Config.MaxResults}, metric: metric,
		pace:     flowcontrol.NewTokenBucketRateLimiterWithClock(perSecond, burst, o.Clock),
		troubled: map[string]outcome{},
	}
	if o.Enforced {
		r.verdict.result = enforced
	}
	return r, nil
}

// NeedLeaderElection keeps two replicas from doing the same work. Nothing would break if they did.
func (*Reports) NeedLeaderElection() bool { return true }

// Start keeps the reports up to date until ctx is done.
func (r *Reports) Start(ctx context.Context) error {
	r.dirty = workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry),
		workqueue.TypedRateLimitingQueueConfig[string]{Name: Queue, Clock: r.Clock},
	)
	defer r.dirty.ShutDown()
	stop, err := r.followNodes(ctx)
	if err != nil {
		return fmt.Errorf("watch the obituaries of nodes: %w", err)
	}
	defer stop()
	var working sync.WaitGroup
	defer working.Wait()
	working.Go(func() { r.work(ctx) })
	r.followPods(ctx)
	r.dirty.ShutDown()
	return nil
}

// touch has a report looked at. Everything that happens until then is one look.
func (r *Reports) touch(namespace string) { r.dirty.AddAfter(namespace, r.Config.Every.Duration) }

func (r *Reports) work(ctx context.Context) {
	for {
		namespace, quit := r.dirty.Get()
		if quit || ctx.Err() != nil {
			return // a queue that is shut down goes on to hand out what waits
		}
		if r.pace.Wait(ctx) == nil {
			became, err := r.update(ctx, namespace)
			r.note(ctx, namespace, became, err)
		}
		r.dirty.Done(namespace)
	}
}

// note counts an outcome, tells of it where it is news, and has the report looked at again where it
// is not as it should be.
func (r *Reports) note(ctx context.Context, namespace string, became outcome, err error) {
	if ctx.Err() != nil {
		return
	}
	r.metric.WithLabelValues(string(became)).Inc()
	switch became {
	case conflict, failed:
		r.dirty.AddRateLimited(namespace)
	case notInstalled, refused, foreign:
		r.dirty.Forget(namespace)
		r.dirty.AddAfter(namespace, max(patience, r.Config.Every.Duration))
	case written, unchanged, removed, namespaceGone:
		r.dirty.Forget(namespace)
	}
	r.tell(namespace, became, err)
}

// tell logs what somebody can do something about, once.
func (r *Reports) tell(namespace string, became outcome, err error) {
	log := r.Log.WithValues("kind", r.api.kind(namespace).Kind, "namespace", namespace,
		"name", Name)
	if r.troubled[namespace] == became {
		return
	}
	delete(r.troubled, namespace)
	switch became {
	case foreign:
		log.Info("somebody else's report has this name, it stays as it is", "label",
			OwnerLabel+"="+owner)
	case notInstalled, refused, failed:
		log.Error(err, "report not written, will be tried again", "outcome", string(became))
	default:
		log.V(1).Info("report looked at", "outcome", string(became))
		return
	}
	r.troubled[namespace] = became
}
