package recorder

import (
	"context"
	"errors"
	"sync"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/audit/announce"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/internal/owners"
	"github.com/epitaph-k8s/epitaph/reason"
)

// maxQueue bounds the pods that wait for their obituary: trimmed, some kilobytes each.
const maxQueue = 1024

// Options are a recorder's dependencies and configuration.
type Options struct {
	Config config.Audit
	// Namespace is Epitaph's own, where the position is kept.
	Namespace string
	Inferrer  reason.Inferrer
	// Cache holds Nodes, Namespaces and NodeObituaries.
	Cache client.Reader
	// API watches, reads from the API server, and writes PodObituaries and the position.
	API client.WithWatch
	// Mapper finds the kinds of owners.
	Mapper meta.RESTMapper
	Nodes  *audit.NodeObituaries
	// Owners knows who deleted the owners of pods; it may be nil.
	Owners *audit.OwnerEnds
	// Refusals knows the reasons that pods do not carry; it may be nil.
	Refusals *audit.Refusals
	// HandOver has obituaries whose namespace is being deleted written into ours, where the archive
	// finds them: see [reason.HandedOverKey].
	HandOver bool
	// Grown is called with the namespace of each obituary that was written.
	Grown func(namespace string)
	// Events reports what was recorded; it may be nil.
	Events     *announce.Announcer
	Clock      clock.WithTicker
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// A Recorder is a runnable of the manager.
type Recorder struct {
	Options
	metrics  *metrics
	guard    *guard.Guard
	reads    reason.Reads
	wanted   map[reason.Class]bool
	codes    map[reason.Code]bool
	labels   map[string]bool
	gone     chan departure
	progress progress
	owners   *owners.Reader
	requests requests
	standby  *Standby
	// from is the revision that recording starts after, leadsSince the one at which this replica
	// began to lead.
	from, leadsSince string
}

// New returns a recorder. Add it to the manager.
func New(o Options) (*Recorder, error) {
	r := &Recorder{
		Options: o,
		reads:   o.Inferrer.ReadsOfPods(),
		wanted:  map[reason.Class]bool{},
		codes:   map[reason.Code]bool{},
		labels:  map[string]bool{},
		gone:    make(chan departure, maxQueue),
		owners:  owners.NewReader(o.API, o.Mapper, o.Clock, o.Log),

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
	for _, key := range o.Config.Labels {
		r.labels[key] = true
	}
	var err error
	if r.metrics, err = newMetrics(o.Registerer, o.Config.NamespaceSeries,
		func() int { return len(r.gone) }); err != nil {
		return nil, err
	}
	if r.guard, err = guard.New(o.Registerer, "recorder", o.Log); err != nil {
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

// ignoreEnd drops errors that only mean that the context has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
