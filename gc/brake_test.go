package gc

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func tightBrake() config.GCBrake {
	return config.GCBrake{Enabled: true, Window: metav1.Duration{Duration: 10 * time.Minute},
		MaxPercent: 30, MinNodes: 3}
}

func TestBrakeJudges(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		lost, here int
		enabled    bool
		want       bool
	}{
		"one of two nodes is not enough nodes":     {lost: 1, here: 1, enabled: true, want: false},
		"three of ten are thirty percent, no more": {lost: 3, here: 7, enabled: true, want: false},
		"four of ten are too many":                 {lost: 4, here: 6, enabled: true, want: true},
		"all nodes are too many":                   {lost: 3, here: 0, enabled: true, want: true},
		"fifty of a thousand are an incident": {lost: 50, here: 950, enabled: true,
			want: false},
		"switched off it holds nothing": {lost: 10, here: 0, enabled: false,
			want: false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tightBrake()
			c.Enabled = tc.enabled
			if got := implausible(c, tc.lost, tc.here); got != tc.want {
				t.Errorf("held %t, want %t", got, tc.want)
			}
		})
	}
}

// A node that is gone counts while it has pods that nobody has released, however long it has been
// gone; an invented name never counts.
func TestWhatIsALoss(t *testing.T) {
	t.Parallel()
	record := func(annotation string) *v1alpha1.NodeObituary {
		return &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{
			Annotations: map[string]string{annotation: "yes"}}}
	}
	tests := map[string]struct {
		s    sighting
		want bool
	}{
		"a node with pods, gone for a year": {
			sighting{absence: absence{since: noon.AddDate(-1, 0, 0)}, wasNode: true, hasPods: true},
			true},
		"its pods are held": {
			sighting{absence: absence{obituary: record(reason.HeldKey)}, wasNode: true,
				hasPods: true}, true},
		"a person released them": {
			sighting{absence: absence{obituary: record(reason.ReleaseKey)}, wasNode: true,
				hasPods: true}, false},
		"it left with a reason": {
			sighting{absence: absence{explained: true}, wasNode: true, hasPods: true}, false},
		"its pods are gone":             {sighting{wasNode: true}, false},
		"a name that somebody invented": {sighting{hasPods: true}, false},
	}
	for name, tt := range tests {
		if got := tt.s.counts(); got != tt.want {
			t.Errorf("%s: counts %t, want %t", name, got, tt.want)
		}
	}
}

func TestWhoseStatusTellsOfANode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		phase     corev1.PodPhase
		hasReason bool
		want      bool
	}{
		"it waits, as when it was created":      {corev1.PodPending, false, false},
		"it runs":                               {corev1.PodRunning, false, true},
		"it runs and has a reason":              {corev1.PodRunning, true, true},
		"it has succeeded":                      {corev1.PodSucceeded, true, true},
		"it has failed":                         {corev1.PodFailed, false, true},
		"it may be the collector who failed it": {corev1.PodFailed, true, false},
	}
	for name, tt := range tests {
		if got := ran(&corev1.Pod{Status: corev1.PodStatus{Phase: tt.phase}},
			tt.hasReason); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}

// Nodes created after the losses do not count, since they replace what was lost; those that came
// back do.
func TestPopulationBesideTheLosses(t *testing.T) {
	t.Parallel()
	c := newNodeTracker()
	arrive := func(name string, created time.Time) {
		c.arrive(
			&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name),
				CreationTimestamp: metav1.NewTime(created)}})
	}
	for n := range 6 {
		arrive(fmt.Sprintf("old-%d", n), noon.Add(-time.Hour))
	}
	for n := range 10 {
		arrive(fmt.Sprintf("replacement-%d", n), noon.Add(time.Hour))
	}
	arrive("returned", noon.Add(time.Hour))
	l := losses{lost: map[string]time.Time{"a": noon, "b": noon.Add(-time.Minute)},
		returned: sets.New("returned")}
	if got := c.population(l); got != 7 {
		t.Errorf(
			"%d nodes are counted beside the losses, want the 6 old ones and the one that returned",
			got)
	}
	if got := len(l.with("c", noon).lost); got != 3 || len(l.lost) != 2 {
		t.Errorf("with one more they are %d and %d, want 3, and 2 as before", got, len(l.lost))
	}
}

func TestHoldIsNewsOnce(t *testing.T) {
	t.Parallel()
	b := newBrake(tightBrake())
	if !b.hold("n", true) || b.hold("n", true) || b.held() != 1 {
		t.Error("holding is news once")
	}
	if !b.hold("n", false) || b.hold("n", false) || b.held() != 0 {
		t.Error("releasing is news once")
	}
}
