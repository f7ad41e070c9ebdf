package gc

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func tightBrake() *brake {
	return newBrake(config.GCBrake{Enabled: true, Window: metav1.Duration{Duration: 10 * time.Minute}, MaxPercent: 30, MinNodes: 3})
}

func lose(b *brake, n int, at time.Time) {
	for i := range n {
		b.note(fmt.Sprintf("n%d", i), at)
	}
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
		"fifty of a thousand are an incident":      {lost: 50, here: 950, enabled: true, want: false},
		"switched off it holds nothing":            {lost: 10, here: 0, enabled: false, want: false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := tightBrake()
			b.config.Enabled = tc.enabled
			lose(b, tc.lost, noon)
			if got := b.judge("n0", tc.here, noon.Add(time.Minute)); got.held != tc.want {
				t.Errorf("verdict %+v, want held %t", got, tc.want)
			}
		})
	}
}

func TestBrakeForgetsLossesBeyondItsWindow(t *testing.T) {
	t.Parallel()
	b := tightBrake()
	lose(b, 4, noon)
	if b.judge("n9", 6, noon.Add(11*time.Minute)).held {
		t.Error("nodes that left eleven minutes ago still count in a window of ten")
	}
}

func TestBrakeDoesNotLetGoByItself(t *testing.T) {
	t.Parallel()
	b := tightBrake()
	lose(b, 4, noon)
	for i := range 4 {
		if !b.judge(fmt.Sprintf("n%d", i), 6, noon.Add(time.Minute)).held {
			t.Fatalf("n%d is not held", i)
		}
	}
	if !b.judge("n0", 6, noon.Add(24*time.Hour)).held {
		t.Error("a day later the pods go: the window ended the holding")
	}
	if b.held() != 4 {
		t.Errorf("%d nodes are held, want 4", b.held())
	}
}

func TestBrakeReleasesWhenNodesComeBack(t *testing.T) {
	t.Parallel()
	b := tightBrake()
	lose(b, 4, noon)
	for i := range 4 {
		b.judge(fmt.Sprintf("n%d", i), 6, noon.Add(time.Minute))
	}
	b.clear("n3")
	v := b.judge("n0", 7, noon.Add(2*time.Minute))
	if v.held || !v.news || v.lost != 3 || v.total != 10 {
		t.Errorf("verdict %+v, want a release as news, with 3 of 10 lost", v)
	}
	if v := b.judge("n0", 7, noon.Add(3*time.Minute)); v.news {
		t.Error("the same verdict is news twice")
	}
}

func TestBrakeCountsNodesWhosePodsWentInTheWindow(t *testing.T) {
	t.Parallel()
	b := tightBrake()
	lose(b, 3, noon)
	b.rest("n0")
	b.rest("n1")
	b.rest("n2")
	b.note("n3", noon.Add(5*time.Minute))
	if !b.judge("n3", 6, noon.Add(6*time.Minute)).held {
		t.Error("a node whose pods are gone no longer counts: losses could trickle past the brake")
	}
}
