package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/test/crdschema"
)

// deeds has records of owners and the owners that are there, and notes what it is asked for.
type deeds struct {
	client.Client
	made    client.Object
	records []v1alpha1.OwnerObituary
	owners  map[string]metav1.ObjectMeta
	failing error
	now     time.Time
	asked   []string
}

func (d *deeds) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	into.(*v1alpha1.OwnerObituaryList).Items = d.records
	return nil
}

func (d *deeds) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	d.asked, d.made = append(d.asked, "the time"), o
	o.SetCreationTimestamp(metav1.NewTime(d.now))
	return nil
}

func (d *deeds) Get(_ context.Context, key client.ObjectKey, into client.Object,
	_ ...client.GetOption) error {
	d.asked = append(d.asked, "Job "+key.Name)
	found, ok := d.owners[key.Name]
	switch {
	case d.failing != nil:
		return d.failing
	case !ok:
		return apierrors.NewNotFound(schema.GroupResource{Resource: "jobs"}, key.Name)
	}
	into.(*metav1.PartialObjectMetadata).ObjectMeta = found
	return nil
}

func (d *deeds) Delete(_ context.Context, o client.Object, _ ...client.DeleteOption) error {
	d.asked = append(d.asked, "remove "+o.GetName())
	return nil
}

// A record of which it is certain that it stays costs no request any more; one whose owner lives on
// goes.
func TestTakeBackAsksOnceAboutEach(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	fake := testingclock.NewFakeClock(began)
	record := func(name, uid string, ago time.Duration) v1alpha1.OwnerObituary {
		return v1alpha1.OwnerObituary{ObjectMeta: metav1.ObjectMeta{Name: "of-" + name,
			UID: types.UID("record of " + name)}, Spec: v1alpha1.OwnerObituarySpec{
			APIVersion: "batch/v1", Kind: "Job", Namespace: "batch", Name: name,
			UID: types.UID(uid), Removed: metav1.NewTime(began.Add(-ago))}}
	}
	deleted := metav1.NewTime(began)
	d := &deeds{now: began, owners: map[string]metav1.ObjectMeta{
		"lives":     {UID: "1"},
		"goes":      {UID: "1", DeletionTimestamp: &deleted},
		"successor": {UID: "2"},
	}}
	o := &OwnerObituaries{API: d, Cache: d, After: time.Minute, Clock: fake, Log: logr.Discard()}
	for n, step := range []struct {
		do   func()
		want []string
	}{
		{func() {}, nil},
		{func() { d.records = append(d.records, record("young", "1", time.Second)) }, nil},
		{func() { d.records = append(d.records, record("old", "1", 2*time.Hour)) },
			[]string{"the time"}},
		{func() {
			for _, name := range []string{"gone", "goes", "successor"} {
				d.records = append(d.records, record(name, "1", 2*time.Minute))
			}
		}, []string{"the time", "Job gone", "Job goes", "Job successor"}},
		{func() {}, nil},
		{func() { d.failing = errors.New("not now") }, nil},
		{func() { d.records = append(d.records, record("lives", "1", 2*time.Minute)) },
			[]string{"the time", "Job lives"}},
		{func() { d.failing = nil }, []string{"the time", "Job lives", "remove of-lives"}},
		// The next owner of a name is deleted.
		{func() { d.records = []v1alpha1.OwnerObituary{record("successor", "2", 2*time.Minute)} },
			[]string{"the time", "Job successor", "remove of-successor"}},
		// Our clock jumps ahead.
		{func() {
			d.records = []v1alpha1.OwnerObituary{record("gone", "1", time.Second)}
			fake.Step(2 * time.Hour)
		}, []string{"the time"}},
	} {
		d.asked = nil
		step.do()
		if err := o.TakeBack(t.Context()); (err != nil) != (d.failing != nil &&
			len(step.want) > 0) {
			t.Errorf("step %d: TakeBack ended with %v", n, err)
		}
		if diff := cmp.Diff(step.want, d.asked); diff != "" {
			t.Errorf("step %d: requests, -want +got:\n%s", n, diff)
		}
	}
	if got := fmt.Sprint(len(o.settled)); got != "0" {
		t.Errorf("%s records are remembered, of which none is there", got)
	}
}

// What a client says of itself and of its objects is bounded and obeyed by no terminal.
func TestHostileOwnersHaveRecords(t *testing.T) {
	t.Parallel()
	const maxBytes = 8 << 10
	evil := strings.Repeat("\x1b]0;owned\x07<script>alert(1)</script>\u202e", 1<<15) // 1 MB
	d := &deeds{now: noon}
	o := &OwnerObituaries{API: d, Cache: d, Clock: testingclock.NewFakeClock(noon),
		Log: logr.Discard()}
	if err := o.Record(t.Context(), v1alpha1.OwnerObituarySpec{APIVersion: evil, Kind: evil,
		Namespace: "batch", Name: "etl", UID: "1", Created: metav1.NewTime(noon), Deleted: evil,
		DeletedBy: evil, Application: evil, Reason: evil}); err != nil {
		t.Fatal(err)
	}
	crdschema.Read(t, "../charts/epitaph/crds/epitaph-k8s.io_ownerobituaries.yaml").Accepts(t,
		d.made, maxBytes)
	s := d.made.(*v1alpha1.OwnerObituary).Spec
	for _, kept := range []string{s.Deleted, s.DeletedBy, s.Application, s.Reason} {
		if !strings.Contains(kept, "owned") {
			t.Errorf("%q is left of what was said", kept)
		}
	}
}
