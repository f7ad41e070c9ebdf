package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	archivefollow "github.com/epitaph-k8s/epitaph/archive/follow"
	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// Nothing can be recorded in a namespace that is being deleted: what dies with it is in the archive
// all the same, once, also if the archive and the recorder are killed in the middle of it.
func TestArchiveHasWhatDiesWithItsNamespace(t *testing.T) {
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
		k.Archive.Enabled = true
		k.Audit.Classes = []string{reason.Disruption.String(), reason.Routine.String(),
			reason.NoExplanation.String()}
	}}})
	file := filepath.Join(t.TempDir(), "archive.db")
	a := c.archiver(t, func(k *config.Archive) { k.Store, k.Path = config.SQLite, file })
	a.start(t)
	c.eventually(t, "the archive is there", func(context.Context) (bool, error) {
		s, err := sqlite.Open(t.Context(), file, clock.RealClock{})
		if err == nil {
			s.Close()
		}
		return err == nil, nil
	})
	store, err := sqlite.Open(t.Context(), file, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	c.eventually(t, "the archive follows", func(ctx context.Context) (bool, error) {
		at, err := store.Position(ctx, a.name, archive.PodKind)
		return at.Epoch > 0, err
	})

	const pods = 300
	doomed, other := c.namespace(t), c.namespace(t)
	node := c.node(t).Name
	var some errgroup.Group
	some.SetLimit(8)
	for n := range pods {
		some.Go(func() error {
			p := podSpec(doomed, node, fmt.Sprintf("p-%d", n), func(p *corev1.Pod) {
				p.Spec.TerminationGracePeriodSeconds = new(int64)
			})
			_, err := c.client.CoreV1().Pods(doomed).Create(t.Context(), p, metav1.CreateOptions{})
			return err
		})
	}
	if err := some.Wait(); err != nil {
		t.Fatal(err)
	}
	api := c.typed(t, c.RESTConfig())
	waiting := func() []v1alpha1.PodObituary {
		found := &v1alpha1.PodObituaryList{}
		if err := api.List(t.Context(), found, client.InNamespace(ourNamespace),
			client.HasLabels{reason.HandedOverKey}); err != nil {
			t.Fatal(err)
		}
		return found.Items
	}
	if err := c.client.CoreV1().Namespaces().Delete(t.Context(), doomed, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the first are handed over", func(context.Context) (bool, error) {
		return len(waiting()) > 0, nil
	})
	a.process.Kill()
	c.Epitaph.Kill()
	c.eventually(t, "the namespace is gone", func(ctx context.Context) (bool, error) {
		_, err := c.client.CoreV1().Namespaces().Get(ctx, doomed, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})

	// A record that was written in its namespace, by a recorder that was killed before it knew, and
	// one with the mark of those that are handed over, by somebody who may write in a namespace.
	twice, forged := died(other, "twice"), died(other, "forged")
	again := twice.DeepCopy()
	again.Namespace, again.Labels = ourNamespace, map[string]string{reason.HandedOverKey: other}
	forged.Labels = map[string]string{reason.HandedOverKey: doomed}
	for _, o := range []*v1alpha1.PodObituary{twice, again, forged} {
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Epitaph.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.start(t)

	in := func(namespace string) map[string]int {
		found := map[string]int{}
		q := archive.Query{Cluster: a.name, Kind: archive.PodKind, Namespace: namespace}
		for more := true; more; more = q.Cursor != "" {
			page, err := store.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for n := range page.Records {
				o := &v1alpha1.PodObituary{}
				if err := json.Unmarshal(page.Records[n].Document, o); err != nil {
					t.Fatal(err)
				}
				if o.Namespace != namespace || o.Labels[reason.HandedOverKey] != "" && o.Spec.PodName != "forged" {
					t.Errorf("the record of %s says that it is of %s, with %v", o.Spec.PodName,
						o.Namespace, o.Labels)
				}
				found[o.Spec.PodName]++
			}
			q.Cursor = page.Next
		}
		return found
	}
	c.eventuallyWithin(t, 5*time.Minute, "all of them are archived", func(context.Context) (bool, error) {
		return len(in(doomed)) == pods, nil
	})
	for pod, n := range in(doomed) {
		if n != 1 || pod == "forged" {
			t.Errorf("%s is there %d times", pod, n)
		}
	}
	if n := len(in(ourNamespace)); n > 0 {
		t.Errorf("%d records are archived as ones of Epitaph's own pods", n)
	}
	a.process.Stop()
	if n := len(waiting()); n < pods {
		t.Errorf("%d records wait to be amended, want all: they are few and young", n)
	}

	// Later, they are removed from the cluster, and nothing from the archive.
	f, err := archivefollow.New(archivefollow.Options{Cluster: a.name, Namespace: ourNamespace,
		Store: store, API: c.typed(t, c.withToken(c.archiveToken(t))), Grown: func(string) {},
		Now:   func(context.Context) (time.Time, error) { return time.Now().Add(time.Hour), nil },
		Clock: clock.RealClock{}, Registerer: prometheus.NewRegistry(), Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Start(ctx) }()
	c.eventually(t, "none is left in the cluster", func(context.Context) (bool, error) {
		return len(waiting()) == 0, nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := in(doomed); len(got) != pods {
		t.Errorf("the archive has %d of %d", len(got), pods)
	}
	if got := in(other); got["twice"] != 1 || got["forged"] != 1 || len(got) != 2 {
		t.Errorf("of the other namespace, the archive has %v", got)
	}
}
