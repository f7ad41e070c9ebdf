package recorder

import (
	"context"
	"errors"
	"sync"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxQueue bounds the pods that wait for their obituary: trimmed, some kilobytes each.
	maxQueue = 1024
	// maxOwners bounds the owners whose own owner is remembered.
	maxOwners = 4096
)

// Options are what a recorder works with.
type Options struct {
	Config config.Audit
	// Namespace is Epitaph's own, where the position is kept.
	Namespace string
	Inferrer  reason.Inferrer
	// Cache holds Nodes, Namespaces and NodeObituaries.
	Cache client.Reader
	// API watches, reads past the cache, and writes PodObituaries and the position.
	API   client.WithWatch
	Nodes *audit.NodeObituaries
	// Refusals knows the reasons that pods do not carry; nil knows none.
	Refusals *audit.Refusals
	// Grown is told the namespace of each obituary that was written.
	Grown      func(namespace string)
	Events     audit.EventRecorder
	Clock      clock.WithTicker
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// A Recorder is a runnable of the manager.
type Recorder struct {
	Options
	metrics  *metrics
	reads    reason.Reads
	wanted   map[reason.Class]bool
	codes    map[reason.Code]bool
	gone     chan departure
	progress progress
	owners   *lru.Cache
	requests requests
	standby  *Standby
	// from is the revision that recording starts after, leadsSince that at which this replica had
	// begun to lead.
	from, leadsSince string
}

// New returns a recorder. Add it to the manager.
func New(o Options) (*Recorder, error) {
	r := &Recorder{
		Options: o,
		reads:   o.Inferrer.ReadsOfPods(),
		wanted:  map[reason.Class]bool{},
		codes:   map[reason.Code]bool{},
		gone:    make(chan departure, maxQueue),
		owners:  lru.New(maxOwners),

		requests: newRequests(),
	}
	for _, class := range []reason.Class{reason.Disruption, reason.Routine, reason.NoExplanation} {
		for _, name := range o.Config.Classes {
			r.wanted[class] = r.wanted[class] || name == class.String()
		}
	}
	for _, code := range o.Config.Codes {
		r.codes[code] = true
	}
	var err error
	if r.metrics, err = newMetrics(o.Registerer, func() int { return len(r.gone) }); err != nil {
		return nil, err
	}
	return r, nil
}

// NeedLeaderElection keeps two replicas from doing the same work. Nothing would break if they did.
func (*Recorder) NeedLeaderElection() bool { return true }

// Start records until ctx is done.
func (r *Recorder) Start(ctx context.Context) error {
	if err := r.standby.ready(ctx); err != nil {
		return ignoreEnd(ctx, err)
	}
	from, err := r.origin(ctx)
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	r.from = from
	r.progress.reset(from)
	r.Log.Info("recording pods that leave", "revision", from)
	var running sync.WaitGroup
	running.Go(func() { r.work(ctx) })
	running.Go(func() { r.keepPosition(ctx) })
	r.follow(ctx, from)
	running.Wait()
	return nil
}

// ignoreEnd drops the errors that are only the end of everything.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
