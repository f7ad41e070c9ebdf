package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// After a cluster is restored from a backup, the archive has what the lost history had, and all that
// is written in the new one, whose revisions have been there before. Before that, the database of
// another archive is away for a day.
func TestArchiveOfARestoredCluster(t *testing.T) {
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	c.spent = true
	c.awayForADay(t)
	file := filepath.Join(t.TempDir(), "archive.db")
	a := c.archiver(t, func(k *config.Archive) { k.Store, k.Path = config.SQLite, file })
	a.start(t)
	store, err := sqlite.Open(t.Context(), file, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	namespace, api := c.namespace(t), c.typed(t, c.RESTConfig())
	write := func(o *v1alpha1.PodObituary) *v1alpha1.PodObituary {
		t.Helper()
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	code := func(o *v1alpha1.PodObituary, is string) {
		t.Helper()
		before := o.DeepCopy()
		o.Spec.Code = is
		if err := api.Patch(t.Context(), o, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	has := func(o *v1alpha1.PodObituary, is string) {
		t.Helper()
		c.eventually(t, o.Spec.PodName+" is archived as "+is, func(ctx context.Context) (bool, error) {
			r, err := store.Get(ctx, a.name, string(o.UID))
			return err == nil && r.Code == is, nil
		})
	}
	before, amended := write(died(namespace, "before")), write(died(namespace, "amended"))
	has(before, "Preempted")
	has(amended, "Preempted")
	if err := c.Backup(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}

	old := amended.DeepCopy()
	code(amended, "KernelPanic")
	has(amended, "KernelPanic")
	var lost *v1alpha1.PodObituary
	for n := range 200 {
		lost = write(died(namespace, fmt.Sprintf("lost-%d", n)))
	}
	has(lost, "Preempted")
	if err := c.Restore(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}

	// The new history says something else of what both have, at revisions that the old one had.
	code(old, "Evicted")
	after := write(died(namespace, "after"))
	has(old, "Evicted")
	has(after, "Preempted")
	has(lost, "Preempted")
	has(before, "Preempted")
	if at, err := store.Position(t.Context(), a.name, archive.PodKind); err != nil || at.Epoch != 2 {
		t.Errorf("the position is %+v, want one of the second history: %v", at, err)
	}
}
