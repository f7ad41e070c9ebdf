package page

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/archive"
)

// Crashes in the same place are one row, over nodes and clusters: the most frequent first, and those
// of which no trace is on record last.
func TestCrashes(t *testing.T) {
	t.Parallel()
	got := crashesOf([]archive.Count{
		{Of: []string{"", "c1", "n1"}, N: 9},
		{Of: []string{"abc-def", "c1", "n1"}, N: 2},
		{Of: []string{"123-def", "c1", "n2"}, N: 3},
		{Of: []string{"abc-def", "c2", "n1"}, N: 1},
		{Of: []string{"abc-def", "c2", "n2"}, N: 1},
	})
	want := []crashRow{
		{Fingerprint: "abc-def", Panics: 4, Nodes: 3, Clusters: 2},
		{Fingerprint: "123-def", Panics: 3, Nodes: 1, Clusters: 1},
		{Panics: 9, Nodes: 1, Clusters: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
