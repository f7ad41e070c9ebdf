// Package guard keeps a panic in one piece of work from ending the process, which has other work to
// do, above all the webhook's. controller-runtime does the same for its controllers
// (pkg/internal/controller/controller.go, Reconcile); this is for all other workers.
//
// A panic is counted, logged with its stack, and returned as an error to the caller, who tries
// again as after any other error.
//
// What this package does not do: try again, or release what the work holds. The work itself must
// release its locks and slots in a defer.
package guard

import (
	"fmt"
	"runtime/debug"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"
)

// Metric is the name of the metric.
const Metric = "epitaph_worker_panics_total"

// logsPerSecond and logBurst bound what is logged: somebody on the network may be able to cause any
// number of panics.
const logsPerSecond, logBurst = 1, 20

// A Guard watches over the work of one worker.
type Guard struct {
	panics prometheus.Counter
	log    logr.Logger
	pace   flowcontrol.PassiveRateLimiter
}

// New registers the worker's series, which starts at 0.
func New(r prometheus.Registerer, worker string, log logr.Logger) (*Guard, error) {
	panics := prometheus.NewCounter(prometheus.CounterOpts{
		Name: Metric, Help: "Panics of workers, by worker. The process goes on.",
		ConstLabels: prometheus.Labels{"worker": worker},
	})
	if err := r.Register(panics); err != nil {
		return nil, fmt.Errorf("register the panics of worker %s: %w", worker, err)
	}
	return &Guard{panics: panics, log: log,
		pace: flowcontrol.NewTokenBucketPassiveRateLimiter(logsPerSecond, logBurst)}, nil
}

// A Panic is the error of work that panicked.
type Panic struct {
	// Value is the value that the work panicked with.
	Value any
}

func (p *Panic) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// Do runs work, which the log calls what, and returns its error: a [*Panic] if it panicked.
func (g *Guard) Do(what string, work func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			p := &Panic{Value: value}
			g.panics.Inc()
			if g.pace.TryAccept() {
				g.log.Error(p, "worker panicked", "at", what, "stack", string(debug.Stack()))
			}
			err = p
		}
	}()
	return work()
}

// Run is [Guard.Do] for work without an error.
func (g *Guard) Run(what string, work func()) {
	_ = g.Do(what, func() error { // Do has logged it.
		work()
		return nil
	})
}

// Handler guards an informer's event handler, where a panic would otherwise end the process
// (k8s.io/apimachinery pkg/util/runtime, ReallyCrash). An event lost to a panic does not come again
// before the informer's next resync.
func (g *Guard) Handler(what string,
	h toolscache.ResourceEventHandler) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, initial bool) {
			g.Run(what, func() { h.OnAdd(object, initial) })
		},
		UpdateFunc: func(before, after any) {
			g.Run(what, func() { h.OnUpdate(before, after) })
		},
		DeleteFunc: func(object any) { g.Run(what, func() { h.OnDelete(object) }) },
	}
}
