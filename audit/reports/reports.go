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
	"github.com/epitaph-k8s/epitaph/internal/guard"
)

// Queue is the name of the queue, used as a label of client-go's own metrics.
const Queue = "policy-reports"

const (
	// perSecond and burst bound how many reports are checked, whatever happens in how many
	// namespaces.
	perSecond, burst = 5, 10
	// firstRetry and lastRetry are the shortest and the longest wait after a conflict or a fault;
	// the wait doubles from one to the other.
	firstRetry = time.Second
	lastRetry  = time.Minute
	// patience is the wait after an outcome that only somebody else can change.
	patience = 15 * time.Second
)

// Options are the dependencies and the configuration of Reports.
type Options struct {
	Config config.Reports
	// Enforced is set if deletions without a reason are denied where possible.
	Enforced bool
	// Cache holds NodeObituaries.
	Cache cache.Cache
	// API watches PodObituaries and reads them from the API server, and writes reports.
	API        client.WithWatch
	Clock      clock.WithTicker
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// Reports is a runnable of the manager.
type Reports struct {
	Options
	api     api
	grading grading
	metric  *prometheus.CounterVec
	guard   *guard.Guard
	// dirty are the namespaces whose report may have to be written; the empty one is the cluster.
	dirty workqueue.TypedRateLimitingInterface[string]
	pace  flowcontrol.RateLimiter
	// troubled are the namespaces whose last outcome was logged as a problem.
	troubled map[string]outcome
}

// New returns Reports. Add them to the manager.
func New(o Options) (*Reports, error) {
	metric, err := newMetric(o.Registerer)
	if err != nil {
		return nil, err
	}
	g, err := guard.New(o.Registerer, "reports", o.Log)
	if err != nil {
		return nil, err
	}
	r := &Reports{
		Options: o, api: apis[o.Config.Format], guard: g,
		grading: grading{result: unenforced, max: o.Config.MaxResults}, metric: metric,
		pace:     flowcontrol.NewTokenBucketRateLimiterWithClock(perSecond, burst, o.Clock),
		troubled: map[string]outcome{},
	}
	if o.Enforced {
		r.grading.result = enforced
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

// touch schedules a check of a report. Everything that happens until then is covered by one check.
func (r *Reports) touch(namespace string) { r.dirty.AddAfter(namespace, r.Config.Every.Duration) }

func (r *Reports) work(ctx context.Context) {
	for {
		namespace, quit := r.dirty.Get()
		if quit || ctx.Err() != nil {
			return // a queue that is shut down still hands out what waits
		}
		if r.pace.Wait(ctx) == nil {
			became, err := r.updateGuarded(ctx, namespace)
			r.note(ctx, namespace, became, err)
		}
		r.dirty.Done(namespace)
	}
}

// updateGuarded turns a panic into a failure, after which the report is checked again.
func (r *Reports) updateGuarded(ctx context.Context, namespace string) (became outcome, err error) {
	became = failed
	err = r.guard.Do("report", func() error {
		became, err = r.update(ctx, namespace)
		return err
	})
	return became, err
}

// note counts an outcome, logs it if it is new, and schedules another check if the report is not as
// it should be.
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
		log.Info("another tool's report has this name, and is left alone", "label",
			OwnerLabel+"="+owner)
	case notInstalled, refused, failed:
		log.Error(err, "report not written, will be retried", "outcome", string(became))
	default:
		log.V(1).Info("report reconciled", "outcome", string(became))
		return
	}
	r.troubled[namespace] = became
}
