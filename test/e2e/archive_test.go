package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	archivefollow "github.com/epitaph-k8s/epitaph/archive/follow"
	"github.com/epitaph-k8s/epitaph/archive/postgres"
	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	composer "github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/audit/retention"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	database "github.com/epitaph-k8s/epitaph/test/postgres"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// An archiver is `epitaph archive` with exactly its own rights.
type archiver struct {
	*cluster
	name    string
	program string
	args    []string
	process *sandbox.Process
}

func (c *cluster) archiver(t *testing.T, change func(*config.Archive)) *archiver {
	t.Helper()
	dir := t.TempDir()
	a := &archiver{cluster: c, name: unique("archive"), program: filepath.Join(dir, "epitaph")}
	if err := binaries.Product(t.Context(), os.Stdout, "epitaph", a.program); err != nil {
		t.Fatal(err)
	}
	k := config.Default()
	k.Namespace, k.Metrics.Secure, k.Archive.Enabled, k.Archive.Cluster = ourNamespace, false, true, a.name
	k.LeaderElection.Enabled = false          // it is alone, and would end when a busy machine is late
	k.Retention.Pods.MaxPerNamespace = 100000 // other tests' records are none of its business
	for _, address := range []*string{&k.Archive.HealthAddress, &k.Archive.MetricsAddress} {
		free, err := sandbox.FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		*address = free
	}
	change(&k.Archive)
	settings, err := yaml.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	file, kubeconfig := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteKubeconfig(kubeconfig, c.archiveToken(t)); err != nil {
		t.Fatal(err)
	}
	a.args = []string{"archive", "--config", file, "--kubeconfig", kubeconfig}
	return a
}

func (c *cluster) archiveToken(t *testing.T) string {
	t.Helper()
	token, err := c.client.CoreV1().ServiceAccounts(ourNamespace).CreateToken(t.Context(),
		"epitaph-archive", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

func (a *archiver) start(t *testing.T) {
	t.Helper()
	var err error
	if a.process, err = a.Launch(unique("epitaph-archive"), a.program, a.args...); err != nil {
		t.Fatal(err)
	}
	p := a.process
	t.Cleanup(func() {
		p.Stop()
		if log, err := os.ReadFile(p.LogPath); err == nil && t.Failed() {
			t.Logf("the end of the archive's log:\n%s", log[max(0, len(log)-4000):])
		}
	})
}

// died makes the record of a pod, as the recorder does.
func died(namespace, pod string) *v1alpha1.PodObituary {
	return composer.Of(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod,
		UID: types.UID(unique("22222222-2222-2222-")), CreationTimestamp: metav1.Now()}},
		reason.New(reason.Pod, reason.Preempted, "x", "x"), time.Now())
}

// manyRecords is how many the archive is killed amid.
var manyRecords = flag.Int("archive-records", 1000,
	"how many records TestArchiveLosesNothing writes")

// Records are written, amended and taken away again, their namespace with them, while
// the archive and its database are killed: each is stored, once, as it was last.
func TestArchiveLosesNothing(t *testing.T) {
	t.Parallel()
	db := database.ForTest(t)
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(db.DSN()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := shared.archiver(t, func(c *config.Archive) { c.DSNFile = dsn })
	a.start(t)
	store, err := postgres.Open(t.Context(), db.DSN(), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	// What comes and goes before an archive has looked for the first time, it never sees.
	shared.eventually(t, "the archive follows", func(ctx context.Context) (bool, error) {
		at, err := store.Position(ctx, a.name, archive.PodKind)
		return at.Epoch > 0, err
	})
	api := shared.typed(t, shared.RESTConfig())
	kept, left := shared.namespace(t), shared.namespace(t)

	const writers = 4
	each := *manyRecords / writers
	var mu sync.Mutex
	want := map[string]int64{} // the revision of each record
	note := func(o client.Object) error {
		revision, err := archive.RevisionOf(o.GetResourceVersion())
		mu.Lock()
		defer mu.Unlock()
		want[string(o.GetUID())] = revision
		return err
	}
	write := func(w, n int) error {
		namespace := kept
		if n%5 == 0 {
			namespace = left
		}
		o := died(namespace, fmt.Sprintf("p-%d-%d", w, n))
		if err := api.Create(t.Context(), o); err != nil {
			return err
		}
		if n%7 == 0 { // amended
			before := o.DeepCopy()
			o.Spec.Code = "KernelPanic"
			if err := api.Patch(t.Context(), o, client.MergeFrom(before)); err != nil {
				return err
			}
		}
		if err := note(o); err != nil {
			return err
		}
		if n%11 == 0 { // gone before anybody may have looked
			return api.Delete(t.Context(), o)
		}
		return nil
	}
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for n := range each {
				if err := write(w, n); err != nil {
					t.Errorf("write a record: %v", err)
					return
				}
			}
		})
	}
	written := func(n int) {
		shared.eventually(t, fmt.Sprintf("%d records are written", n), func(context.Context) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return len(want) >= n || t.Failed(), nil
		})
	}
	written(writers * each / 4)
	a.process.Kill()
	a.start(t)
	written(writers * each / 2)
	db.Kill()
	written(writers * each * 3 / 4)
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait.Wait()
	if err := shared.client.CoreV1().Namespaces().Delete(t.Context(), left, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	db.Kill()
	a.process.Kill()
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.start(t)

	stored := func() map[string]int64 {
		found := map[string]int64{}
		for _, namespace := range []string{kept, left} {
			q := archive.Query{Cluster: a.name, Kind: archive.PodKind, Namespace: namespace}
			for more := true; more; more = q.Cursor != "" {
				page, err := store.List(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range page.Records {
					if _, twice := found[r.UID]; twice {
						t.Errorf("record %s is there twice", r.UID)
					}
					found[r.UID] = r.Revision
				}
				q.Cursor = page.Next
			}
		}
		return found
	}
	shared.eventuallyWithin(t, 5*time.Minute, "every record is archived", func(context.Context) (bool, error) {
		return len(stored()) >= writers*each, nil
	})
	shared.eventually(t, "every revision is archived", func(context.Context) (bool, error) {
		return cmp.Equal(want, stored()), nil
	})
	counts, err := store.Count(t.Context(), archive.Query{Cluster: a.name, Namespace: kept,
		Code: "KernelPanic"}, []archive.Field{archive.ByCode})
	if err != nil || len(counts) != 1 {
		t.Errorf("amended records: %v, %v", counts, err)
	}
}

// What is too much goes once it is archived as it is, and not before.
func TestRecordsGoOnceTheyAreArchived(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "archive.db"), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	name, namespace := unique("archive"), shared.namespace(t)
	api := shared.typed(t, shared.withToken(shared.archiveToken(t)))
	r, err := retention.New(retention.Options{
		Limits: config.Retention{Pods: config.PodRetention{MaxPerNamespace: 1,
			MaxAge: metav1.Duration{Duration: time.Hour}}},
		API: api, Archived: archivefollow.Archived(store, name), Clock: clock.RealClock{},
		Registerer: prometheus.NewRegistry(), Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	admin := shared.typed(t, shared.RESTConfig())
	first, second := died(namespace, "first"), died(namespace, "second")
	for _, o := range []*v1alpha1.PodObituary{first, second} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	prune := func(want int) {
		t.Helper()
		if err := r.PruneNamespace(t.Context(), namespace); err != nil {
			t.Fatal(err)
		}
		if n := len(shared.obituaries(t, namespace)); n != want {
			t.Fatalf("%d records are in the cluster, want %d", n, want)
		}
	}
	prune(2) // nothing is archived

	f, err := archivefollow.New(archivefollow.Options{Cluster: name, Store: store, API: api, Grown: r.Grew,
		Clock: clock.RealClock{}, Registerer: prometheus.NewRegistry(), Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	following := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Start(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	archived := func(o *v1alpha1.PodObituary) {
		t.Helper()
		shared.eventually(t, o.Spec.PodName+" is archived", func(ctx context.Context) (bool, error) {
			archived, err := archivefollow.Archived(store, name)(ctx, []client.Object{o})
			return archived[o.UID], err
		})
	}
	stop := following()
	archived(first)
	archived(second)
	stop()

	// Both are amended while nobody archives.
	for _, o := range []*v1alpha1.PodObituary{first, second} {
		before := o.DeepCopy()
		o.Spec.Code = "KernelPanic"
		if err := admin.Patch(t.Context(), o, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	prune(2)
	stop = following()
	defer stop()
	archived(first)
	archived(second)
	prune(1)
	page, err := store.List(t.Context(), archive.Query{Cluster: name, Namespace: namespace, Code: "KernelPanic"})
	if err != nil || len(page.Records) != 2 {
		t.Errorf("the archive has %d of them, %v", len(page.Records), err)
	}
}
