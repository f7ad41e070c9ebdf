package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	archivefollow "github.com/epitaph-k8s/epitaph/archive/follow"
	"github.com/epitaph-k8s/epitaph/archive/forward"
	"github.com/epitaph-k8s/epitaph/archive/postgres"
	database "github.com/epitaph-k8s/epitaph/test/postgres"
)

// The primary of the archive's PostgreSQL dies, and its standby is promoted, with every transaction
// or without the last. What those had stored is stored again, once, and receivers are told of all.
func TestArchiveFailsOverToAStandby(t *testing.T) {
	t.Parallel()
	t.Run("synchronous", func(t *testing.T) {
		t.Parallel()
		p := standingBy(t)
		if err := p.primary.Execute(t.Context(), "ALTER SYSTEM SET synchronous_standby_names = '*'",
			"SELECT pg_reload_conf()"); err != nil {
			t.Fatal(err)
		}
		if err := p.primary.Holds(t.Context(),
			"EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync')"); err != nil {
			t.Fatal(err)
		}
		const records = 200
		var writing errgroup.Group
		writing.Go(func() error {
			for n := range records {
				if err := p.write(t.Context(), fmt.Sprintf("p-%d", n)); err != nil {
					return err
				}
			}
			return nil
		})
		shared.eventually(t, "some are archived", func(ctx context.Context) (bool, error) {
			return len(p.stored(ctx, t)) > records/10, nil
		})
		p.failOver(t)
		if err := writing.Wait(); err != nil {
			t.Fatal(err)
		}
		p.settles(t)
	})
	t.Run("asynchronous", func(t *testing.T) {
		t.Parallel()
		p := standingBy(t)
		p.writeMany(t, "before", 20)
		p.settles(t)
		if err := p.primary.CaughtUp(t.Context(), p.standby); err != nil {
			t.Fatal(err)
		}
		if err := p.standby.FallBehind(t.Context()); err != nil {
			t.Fatal(err)
		}
		// What the standby will lack: new records, and one that is amended, and one that leaves.
		p.writeMany(t, "lost", 100)
		p.amend(t, "before-3")
		p.settles(t)
		p.leaves(t, "before-5")
		p.leaves(t, "lost-5")
		p.writeMany(t, "last", 1)
		p.settles(t)
		if err := p.standby.Holds(t.Context(), fmt.Sprintf(
			"(SELECT count(*) FROM records WHERE cluster = '%s' AND namespace = '%s') = 20", p.name,
			p.namespace)); err != nil {
			t.Fatal(err)
		}
		p.failOver(t)
		// Another replica, which believes nothing, stores others first: they get the numbers of what
		// was lost.
		first := archive.Batch{Cluster: p.name, Kind: archive.OwnerKind}
		for n := range 100 {
			uid := fmt.Sprintf("owner-%d", n)
			first.Records = append(first.Records, archive.Record{Cluster: p.name, Kind: first.Kind, UID: uid,
				Epoch: 1, Revision: 1, Removed: time.Now(), Namespace: p.namespace, Name: uid, Document: []byte("{}")})
			p.note(uid, 1)
		}
		if err := p.store.Put(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if err := p.write(t.Context(), "after"); err != nil {
			t.Fatal(err)
		}
		p.settles(t)
	})
}

// A standbyPair is a primary and its standby, with one who follows the cluster and tells a receiver.
type standbyPair struct {
	primary, standby *database.Server
	store            *postgres.Store
	name, namespace  string
	api              client.Client

	mu sync.Mutex
	// want and told are the revisions of records by UID: that which is written, and that which the
	// receiver was told last.
	want, told map[string]int64
	objects    map[string]*v1alpha1.PodObituary
}

// Batch and Send make a receiver of it that gets everything.
func (p *standbyPair) Batch() int { return 10 }

func (p *standbyPair) Send(_ context.Context, records []archive.Record) (forward.Outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range records {
		p.told[records[n].UID] = max(p.told[records[n].UID], records[n].Revision)
	}
	return forward.Outcome{Sent: len(records)}, nil
}

func standingBy(t *testing.T) *standbyPair {
	t.Helper()
	p := &standbyPair{primary: database.ForTest(t), name: unique("archive"), namespace: shared.namespace(t),
		api: shared.typed(t, shared.RESTConfig()), want: map[string]int64{}, told: map[string]int64{},
		objects: map[string]*v1alpha1.PodObituary{}}
	p.standby = p.primary.StandbyForTest(t)
	var err error
	if p.store, err = postgres.Open(t.Context(), p.primary.DSNWith(p.standby), clock.RealClock{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.store.Close)
	registry := prometheus.NewRegistry()
	follower, err := archivefollow.New(archivefollow.Options{Cluster: p.name, Namespace: ourNamespace,
		Store: p.store, API: shared.typed(t, shared.withToken(shared.archiveToken(t))), Grown: func(string) {},
		Now:   func(context.Context) (time.Time, error) { return time.Time{}, nil },
		Clock: clock.RealClock{}, Registerer: registry, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	forwarder, err := forward.New(forward.Options{Cluster: p.name, Feed: p.store, Clock: clock.RealClock{},
		Registerer: registry, Log: logr.Discard(), Receivers: []forward.Receiver{{Name: "siem", Sender: p,
			Filter: forward.Filter{Namespaces: []string{p.namespace}}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running errgroup.Group
	running.Go(func() error { return follower.Start(ctx) })
	running.Go(func() error { return forwarder.Start(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := running.Wait(); err != nil {
			t.Error(err)
		}
	})
	shared.eventually(t, "the archive follows, and knows its receiver", func(ctx context.Context) (bool, error) {
		at, err := p.store.Position(ctx, p.name, archive.PodKind)
		if err != nil || at.Epoch == 0 {
			return false, err
		}
		_, known, err := p.store.Reached(ctx, p.name, "siem")
		return known, err
	})
	return p
}

func (p *standbyPair) note(uid string, revision int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.want[uid] = revision
}

func (p *standbyPair) write(ctx context.Context, pod string) error {
	o := died(p.namespace, pod)
	if err := p.api.Create(ctx, o); err != nil {
		return err
	}
	revision, err := archive.RevisionOf(o.ResourceVersion)
	p.note(string(o.UID), revision)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.objects[pod] = o
	return err
}

func (p *standbyPair) writeMany(t *testing.T, prefix string, n int) {
	t.Helper()
	for n := range n {
		if err := p.write(t.Context(), fmt.Sprintf("%s-%d", prefix, n)); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *standbyPair) amend(t *testing.T, pod string) {
	t.Helper()
	o := p.objects[pod]
	before := o.DeepCopy()
	o.Spec.Code = "KernelPanic"
	if err := p.api.Patch(t.Context(), o, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	revision, err := archive.RevisionOf(o.ResourceVersion)
	if err != nil {
		t.Fatal(err)
	}
	p.note(string(o.UID), revision)
}

func (p *standbyPair) leaves(t *testing.T, pod string) {
	t.Helper()
	if err := p.api.Delete(t.Context(), p.objects[pod]); err != nil {
		t.Fatal(err)
	}
}

// failOver kills the primary, promotes the standby, and waits until the archive has turned to it.
func (p *standbyPair) failOver(t *testing.T) {
	t.Helper()
	p.primary.Kill()
	if err := p.standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A connection is looked at before it is used once it has idled for a second: after that, what
	// the archive writes goes to the new primary, and none of it fails.
	for since := time.Now(); time.Since(since) < 1500*time.Millisecond; time.Sleep(50 * time.Millisecond) {
		_ = p.store.Ping(t.Context())
	}
}

func (p *standbyPair) stored(ctx context.Context, t *testing.T) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	page, err := p.store.List(ctx, archive.Query{Cluster: p.name, Namespace: p.namespace})
	if err != nil {
		return found // it fails over
	}
	for _, r := range page.Records {
		if _, twice := found[r.UID]; twice {
			t.Errorf("record %s is there twice", r.UID)
		}
		found[r.UID] = r.Revision
	}
	return found
}

// settles waits until all is stored and told as it was written last, and the receiver's place is
// stored with it.
func (p *standbyPair) settles(t *testing.T) {
	t.Helper()
	lacks := func(kept map[string]int64) string {
		p.mu.Lock()
		defer p.mu.Unlock()
		return cmp.Diff(p.want, kept)
	}
	defer func() {
		if t.Failed() {
			t.Logf("stored (-want +got):\n%s", lacks(p.stored(context.Background(), t)))
			t.Logf("told (-want +got):\n%s", lacks(p.told))
		}
	}()
	shared.eventually(t, "every record is archived as it is", func(ctx context.Context) (bool, error) {
		return lacks(p.stored(ctx, t)) == "", nil
	})
	shared.eventually(t, "the receiver is told of every record", func(context.Context) (bool, error) {
		return lacks(p.told) == "", nil
	})
	newest, err := p.store.Newest(t.Context(), p.name)
	if err != nil {
		t.Fatal(err)
	}
	shared.eventually(t, "it is stored how far the receiver has got", func(ctx context.Context) (bool, error) {
		at, _, err := p.store.Reached(ctx, p.name, "siem")
		return at.Number >= newest.Number, err
	})
}
