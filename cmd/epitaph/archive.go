package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	follower "github.com/epitaph-k8s/epitaph/archive/follow"
	"github.com/epitaph-k8s/epitaph/archive/forward"
	"github.com/epitaph-k8s/epitaph/archive/postgres"
	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	"github.com/epitaph-k8s/epitaph/audit/retention"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/pause"
)

func archiveCommand() *cobra.Command {
	c := resident("archive", "Store what is recorded of pods, nodes and owners, for years",
		runArchive)
	c.AddCommand(archiveListCommand(), archiveGetCommand(), archiveCountCommand(),
		archiveReplayCommand())
	return c
}

func runArchive(ctx context.Context, s setting) error {
	c := s.config
	mgr, err := newArchiveManager(s.cluster, c, s.log)
	if err != nil {
		return err
	}
	a, err := newArchivist(mgr, c)
	if err != nil {
		return err
	}
	if err := mgr.Add(a); err != nil {
		return fmt.Errorf("add the archive: %w", err)
	}
	if c.Archive.Serve {
		r, err := newReading(mgr, a)
		if err != nil {
			return err
		}
		if err := mgr.Add(r); err != nil {
			return fmt.Errorf("add the readers of the archive: %w", err)
		}
	}
	return mgr.Start(ctx)
}

func newArchiveManager(restConfig *rest.Config, c config.Config,
	log logr.Logger) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme,
		v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register the API types: %w", err)
		}
	}
	served := c.Metrics
	served.Address = c.Archive.MetricsAddress
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme: scheme, Logger: log,
		// What the retention looks at, and no more: the rest is in the archive.
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.NodeObituary{}:  {Transform: trimNodeRecord},
			&v1alpha1.OwnerObituary{}: {Transform: trimOwnerRecord},
		}},
		Metrics:                       metricsOptions(served),
		HealthProbeBindAddress:        c.Archive.HealthAddress,
		LeaderElection:                c.LeaderElection.Enabled,
		LeaderElectionID:              "epitaph-archive",
		LeaderElectionNamespace:       c.Namespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the archive's manager: %w", err)
	}
	for _, err := range []error{mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("ping", healthz.Ping)} {
		if err != nil {
			return nil, fmt.Errorf("add the probes: %w", err)
		}
	}
	return mgr, nil
}

func trimNodeRecord(o any) (any, error) {
	if r, ok := o.(*v1alpha1.NodeObituary); ok {
		r.ManagedFields = nil
		r.Spec = v1alpha1.NodeObituarySpec{Removed: r.Spec.Removed, Amended: r.Spec.Amended}
	}
	return o, nil
}

func trimOwnerRecord(o any) (any, error) {
	if r, ok := o.(*v1alpha1.OwnerObituary); ok {
		r.ManagedFields = nil
		r.Spec = v1alpha1.OwnerObituarySpec{UID: r.Spec.UID, Generation: r.Spec.Generation,
			Removed: r.Spec.Removed}
	}
	return o, nil
}

// openStore opens the archive that the configuration names.
func openStore(ctx context.Context, c config.Archive, clk clock.PassiveClock) (archive.Store,
	error) {
	if c.Store == config.SQLite {
		return sqlite.Open(ctx, c.Path, clk)
	}
	dsn, err := os.ReadFile(c.DSNFile)
	if err != nil {
		return nil, fmt.Errorf("read the connection string of the archive: %w", err)
	}
	return postgres.Open(ctx, strings.TrimSpace(string(dsn)), clk)
}

// expireEvery is how often months that are too old are removed from the archive.
const expireEvery = time.Hour

// An archivist keeps the archive, in the replica that leads.
type archivist struct {
	config config.Config
	api    client.WithWatch
	cache  client.Reader
	clock  clock.WithTicker
	log    logr.Logger
	// receivers are told what is archived.
	receivers []forward.Receiver
}

func newArchivist(mgr manager.Manager, c config.Config) (*archivist, error) {
	api, err := client.NewWithWatch(mgr.GetConfig(), client.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
	})
	if err != nil {
		return nil, fmt.Errorf("make the archive's client: %w", err)
	}
	receivers, err := receiversOf(c.Archive, clock.RealClock{})
	if err != nil {
		return nil, err
	}
	return &archivist{config: c, api: api, cache: mgr.GetCache(), clock: clock.RealClock{},
		log: mgr.GetLogger().WithName("archive"), receivers: receivers}, nil
}

// Start follows the cluster until ctx is done. It ends with an error if the name of the cluster
// belongs to another one: that does not pass.
func (a *archivist) Start(ctx context.Context) error {
	store, err := a.open(ctx)
	if err != nil || store == nil {
		return err
	}
	defer store.Close()
	r, err := retention.New(retention.Options{
		Limits: a.config.Retention, Namespace: a.config.Namespace, Cache: a.cache, API: a.api,
		Clock: a.clock, Now: a.now,
		Archived: follower.Archived(store, a.config.Archive.Cluster), Registerer: metrics.Registry,
		Log: a.log.WithName("retention"),
	})
	if err != nil {
		return err
	}
	f, err := follower.New(follower.Options{
		Cluster: a.config.Archive.Cluster, Namespace: a.config.Namespace, Store: store, API: a.api,
		Grown: r.Grew, Now: a.now, Clock: a.clock,
		Registerer: metrics.Registry, Log: a.log})
	if err != nil {
		return err
	}
	out, err := forward.New(forward.Options{Cluster: a.config.Archive.Cluster, Feed: store,
		Receivers: a.receivers, Clock: a.clock, Registerer: metrics.Registry,
		Log: a.log.WithName("forward")})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.Start(ctx) })
	group.Go(func() error { return r.Start(ctx) })
	group.Go(func() error { return out.Start(ctx) })
	group.Go(func() error { a.expire(ctx, store); return nil })
	return group.Wait()
}

// open connects to the store, however long that takes, and makes sure that it is this cluster's.
// The store is nil if ctx was done before.
func (a *archivist) open(ctx context.Context) (archive.Store, error) {
	pauses := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.2, Steps: 6,
		Cap: 25 * time.Second}
	for {
		store, err := openStore(ctx, a.config.Archive, a.clock)
		if err == nil {
			if err = a.claim(ctx, store); err == nil {
				return store, nil
			}
			store.Close()
		}
		if errors.Is(err, archive.ErrForeign) {
			return nil, fmt.Errorf("%w: give this one another name in archive.cluster", err)
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		a.log.Error(err, "the archive cannot be used yet, will be retried")
		if !pause.For(ctx, a.clock, pauses.Step()) {
			return nil, nil
		}
	}
}

// claim binds the cluster's name to the UID of its namespace kube-system, which lives as long as
// the cluster.
func (a *archivist) claim(ctx context.Context, store archive.Store) error {
	first := &corev1.Namespace{}
	if err := store.Ping(ctx); err != nil {
		return err
	}
	if err := a.api.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, first); err != nil {
		return fmt.Errorf("read the namespace %s: %w", metav1.NamespaceSystem, err)
	}
	return store.Claim(ctx, a.config.Archive.Cluster, string(first.UID))
}

// now is the earlier of our time and the API server's, which a dry run tells: audit.SharedNow needs
// the right to write records, and this has none.
func (a *archivist) now(ctx context.Context) (time.Time, error) {
	probe := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Namespace: a.config.Namespace, Name: "epitaph-clock-probe"}}
	if err := a.api.Create(ctx, probe, client.DryRunAll); err != nil {
		return time.Time{}, fmt.Errorf("ask the API server for its time: %w", err)
	}
	if now := a.clock.Now(); now.Before(probe.CreationTimestamp.Time) {
		return now, nil
	}
	return probe.CreationTimestamp.Time, nil
}

// expire removes from the archive what is too old for it, from time to time.
func (a *archivist) expire(ctx context.Context, store archive.Store) {
	for {
		now, err := a.now(ctx)
		if err == nil {
			var n int64
			n, err = store.Expire(ctx, now.Add(-a.config.Archive.MaxAge.Duration))
			if n > 0 {
				a.log.Info("months that were too old are removed from the archive", "records", n)
			}
		}
		if err != nil && ctx.Err() == nil {
			a.log.Error(err, "old months are kept in the archive for now, will be retried")
		}
		if !pause.For(ctx, a.clock, expireEvery) {
			return
		}
	}
}
