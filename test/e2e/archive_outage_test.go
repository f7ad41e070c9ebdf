package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	archivefollow "github.com/epitaph-k8s/epitaph/archive/follow"
	"github.com/epitaph-k8s/epitaph/archive/postgres"
	"github.com/epitaph-k8s/epitaph/audit/retention"
	"github.com/epitaph-k8s/epitaph/config"
	database "github.com/epitaph-k8s/epitaph/test/postgres"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

// The database of an archive is away for a day, longer than records stay in the cluster, and the API
// server forgets meanwhile what has changed: the records wait in the cluster, and are stored once.
func (c *cluster) awayForADay(t *testing.T) {
	db := database.ForTest(t)
	store, err := postgres.Open(t.Context(), db.DSN(), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	name, namespace, api := unique("archive"), c.namespace(t), c.typed(t, c.RESTConfig())
	day := storetest.NewDay(time.Now())
	day.Except = 15 * time.Second // at which it is looked for what was handed over
	now := func(context.Context) (time.Time, error) { return day.Now(), nil }
	registry := prometheus.NewRegistry()
	f, err := archivefollow.New(archivefollow.Options{Cluster: name, Namespace: ourNamespace, Store: store,
		API: c.typed(t, c.withToken(c.archiveToken(t))), Grown: func(string) {}, Now: now, Clock: day,
		Registerer: registry, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	retaining := func(o retention.Options) *retention.Retention {
		o.API, o.Cache, o.Namespace, o.Clock, o.Now = api, api, ourNamespace, clock.RealClock{}, now
		o.Registerer, o.Log = prometheus.NewRegistry(), logr.Discard()
		r, err := retention.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	limits := config.Retention{Pods: config.PodRetention{MaxPerNamespace: 1000,
		MaxAge: metav1.Duration{Duration: 12 * time.Hour}}}
	manager := retaining(retention.Options{Bound: true,
		Limits: limits.Held(config.Archive{Enabled: true, HoldFactor: 4})})
	archiver := retaining(retention.Options{Limits: limits, Archived: archivefollow.Archived(store, name)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()

	want, written := map[types.UID]string{}, map[string]*v1alpha1.PodObituary{}
	write := func(pod string) {
		t.Helper()
		o := died(namespace, pod)
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		want[o.UID], written[pod] = o.ResourceVersion, o
	}
	stored := func() map[types.UID]string {
		t.Helper()
		page, err := store.List(t.Context(), archive.Query{Cluster: name, Namespace: namespace})
		if err != nil {
			t.Fatal(err)
		}
		found := map[types.UID]string{}
		for _, r := range page.Records {
			if found[types.UID(r.UID)] != "" {
				t.Errorf("record %s is there twice", r.UID)
			}
			found[types.UID(r.UID)] = fmt.Sprint(r.Revision)
		}
		return found
	}
	// What it waits for is over at once, but for the pauses between failures.
	passes := func() bool { day.Step(time.Second); return true }
	c.eventually(t, "the archive follows", func(ctx context.Context) (bool, error) {
		at, err := store.Position(ctx, name, archive.PodKind)
		return at.Epoch > 0, err
	})
	write("before")
	write("amended")
	c.eventually(t, "both are archived", func(context.Context) (bool, error) {
		return passes() && cmp.Equal(want, stored()), nil
	})

	db.Kill()
	write("first")
	c.eventually(t, "it fails", func(context.Context) (bool, error) {
		return passes() && ofPods(t, registry, "epitaph_archive_failures_total") > 0, nil
	})
	longest := day.Pass(t, time.Hour, func(since time.Duration) {
		write(fmt.Sprintf("hour-%d", int(since.Hours())))
	})
	if longest > 30*time.Second || longest < 15*time.Second {
		t.Errorf("it is tried again after %s, want 30 seconds at most", longest)
	}
	before := written["amended"].DeepCopy()
	written["amended"].Spec.Code = "KernelPanic"
	if err := api.Patch(t.Context(), written["amended"], client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	want[written["amended"].UID] = written["amended"].ResourceVersion

	// All of them are too old, and none goes.
	if err := manager.Prune(t.Context()); err != nil {
		t.Error(err)
	}
	if err := archiver.Prune(t.Context()); err == nil {
		t.Error("whoever archives knows what is archived, although the database is away")
	}
	if n := len(c.obituaries(t, namespace)); n != len(want) {
		t.Errorf("%d records are in the cluster, want all %d", n, len(want))
	}

	if err := c.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "every record is archived as it is", func(context.Context) (bool, error) {
		return passes() && cmp.Equal(want, stored()), nil
	})
	if n := ofPods(t, registry, "epitaph_archive_gaps_total"); n == 0 {
		t.Error("that changes may have been missed is not counted")
	}
	c.eventually(t, "what is too old has left the cluster", func(ctx context.Context) (bool, error) {
		return len(c.obituaries(t, namespace)) == 0, archiver.Prune(ctx)
	})
	if got := stored(); !cmp.Equal(want, got) {
		t.Errorf("afterwards the archive has (-want +got):\n%s", cmp.Diff(want, got))
	}
}

// ofPods is the counter of what happened to records of pods.
func ofPods(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == string(archive.PodKind) {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no counter %s", name)
	return 0
}
