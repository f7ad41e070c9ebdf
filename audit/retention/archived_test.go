package retention

import (
	"context"
	"errors"
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
	"github.com/epitaph-k8s/epitaph/config"
)

// deleted notes what is deleted, by UID, and at which revision.
type deleted struct {
	client.Client
	all map[string]string
}

func (d *deleted) Delete(_ context.Context, o client.Object, options ...client.DeleteOption) error {
	only := (&client.DeleteOptions{}).ApplyOptions(options).Preconditions
	d.all[string(*only.UID)] = ""
	if only.ResourceVersion != nil {
		d.all[string(*only.UID)] = *only.ResourceVersion
	}
	return nil
}

// What is not archived stays, and keeps nothing else from going.
func TestUnarchivedStay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	const held = 2 * minExpiredAtOnce
	of := func(ago time.Duration) (all []metav1.ObjectMeta) {
		for n := range held {
			all = append(all, metav1.ObjectMeta{Namespace: "batch", Name: fmt.Sprintf("r%02d", n),
				UID: types.UID(fmt.Sprintf("r%02d", n)), ResourceVersion: fmt.Sprint(100 + n),
				CreationTimestamp: metav1.NewTime(now.Add(-ago + time.Duration(n)*time.Second))})
		}
		return all
	}
	unstored := func(first int) func(context.Context, []client.Object) (map[types.UID]bool, error) {
		return func(_ context.Context, all []client.Object) (map[types.UID]bool, error) {
			archived := map[types.UID]bool{}
			for _, o := range all {
				archived[o.GetUID()] = o.GetName() >= fmt.Sprintf("r%02d", first)
			}
			return archived, nil
		}
	}
	unreachable := errors.New("the archive is away")
	tests := map[string]struct {
		archived   func(context.Context, []client.Object) (map[types.UID]bool, error)
		max        int
		ago        time.Duration
		wantFirst  int
		wantNumber int
		wantErr    error
	}{
		"no archive":                        {nil, held, 48 * time.Hour, 0, minExpiredAtOnce, nil},
		"all is archived":                   {unstored(0), held, 48 * time.Hour, 0, minExpiredAtOnce, nil},
		"the oldest wait for the archive":   {unstored(5), held, 48 * time.Hour, 5, minExpiredAtOnce, nil},
		"one too many, but the oldest wait": {unstored(5), held - 7, time.Hour, 5, 2, nil},
		"nothing is archived":               {unstored(held), 1, 48 * time.Hour, 0, 0, nil},
		"the archive is away": {func(context.Context, []client.Object) (map[types.UID]bool, error) {
			return nil, unreachable
		}, 1, 48 * time.Hour, 0, 0, unreachable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &deleted{all: map[string]string{}}
			r, err := New(Options{API: api, Archived: tc.archived, Clock: clock.RealClock{},
				Registerer: prometheus.NewRegistry(), Log: logr.Discard(),
				Limits: config.Retention{Pods: config.PodRetention{MaxPerNamespace: tc.max,
					MaxAge: metav1.Duration{Duration: 24 * time.Hour}}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.pruneNamespace(t.Context(), of(tc.ago), now); !errors.Is(err, tc.wantErr) {
				t.Errorf("error %v, want %v", err, tc.wantErr)
			}
			want := map[string]string{}
			for n := tc.wantFirst; n < tc.wantFirst+tc.wantNumber; n++ {
				want[fmt.Sprintf("r%02d", n)] = ""
				if tc.archived != nil {
					want[fmt.Sprintf("r%02d", n)] = fmt.Sprint(100 + n)
				}
			}
			if diff := cmp.Diff(want, api.all); diff != "" {
				t.Errorf("removed (-want +got):\n%s", diff)
			}
		})
	}
}

// Beyond the wider limits the manager removes what may be archived nowhere, and counts it as such.
func TestBoundIsLoud(t *testing.T) {
	t.Parallel()
	api := &deleted{all: map[string]string{}}
	registry := prometheus.NewRegistry()
	archive := config.Archive{Enabled: true, HoldFactor: 3}
	r, err := New(Options{API: api, Bound: true, Clock: clock.RealClock{}, Registerer: registry,
		Log: logr.Discard(), Limits: config.Retention{Pods: config.PodRetention{MaxPerNamespace: 2,
			MaxAge: metav1.Duration{Duration: time.Hour}}}.Held(archive)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var held []metav1.ObjectMeta
	for n, ago := range []time.Duration{4 * time.Hour, 2 * time.Hour, time.Hour} {
		held = append(held, metav1.ObjectMeta{Namespace: "batch", Name: fmt.Sprint(n),
			UID: types.UID(fmt.Sprint(n)), CreationTimestamp: metav1.NewTime(now.Add(-ago))})
	}
	if err := r.pruneNamespace(t.Context(), held, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"0": ""}, api.all); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	if n := counterOf(t, registry, ofPod, unarchived); n != 1 {
		t.Errorf("counted as unarchived: %v", n)
	}
}

func counterOf(t *testing.T, registry *prometheus.Registry, of, by string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == MetricExpired && labels["of"] == of && labels["by"] == by {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// A share of what is too old goes; what is one too many goes in any case, also after it.
func TestSurplusGoesBesideTheShare(t *testing.T) {
	t.Parallel()
	api := &deleted{all: map[string]string{}}
	r, err := New(Options{API: api, Clock: clock.RealClock{}, Registerer: prometheus.NewRegistry(),
		Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	going := []doomed{{byAge, 0}, {byAge, 1}, {byAge, 2}, {byNumber, 3}}
	if err := r.removeAll(t.Context(), ofNode, going, 1, func(n int) client.Object {
		return &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{UID: types.UID(fmt.Sprint(n))}}
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"0": "", "3": ""}, api.all); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
}
