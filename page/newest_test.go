package page

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// stored returns a source of n records, which it lists in chunks as the API server would: by name,
// not by time. Two of them leave in each second. chunks counts what was read.
func stored(n int, clk *clocktesting.FakePassiveClock,
	perChunk time.Duration) (list lister[v1alpha1.PodObituary], chunks *int) {
	all := make([]v1alpha1.PodObituary, n)
	for i := range all {
		all[i].Namespace, all[i].Name = "ns", fmt.Sprintf("p-%06d", i)
		all[i].Spec.Removed = metav1.NewTime(noon.Add(time.Duration(i*7919%n/2) * time.Second))
	}
	chunks = new(int)
	return func(_ context.Context,
		options ...client.ListOption) ([]v1alpha1.PodObituary, string, error) {
		asked := (&client.ListOptions{}).ApplyOptions(options)
		from := 0
		if asked.Continue != "" {
			var err error
			if from, err = strconv.Atoi(asked.Continue); err != nil {
				return nil, "", err
			}
		}
		*chunks++
		clk.SetTime(clk.Now().Add(perChunk))
		to := min(from+int(asked.Limit), n)
		if to == n {
			return slices.Clone(all[from:to]), "", nil
		}
		return slices.Clone(all[from:to]), strconv.Itoa(to), nil
	}, chunks
}

// everything selects all records.
var everything = selection[v1alpha1.PodObituary]{
	place: func(o *v1alpha1.PodObituary) place {
		return placeOf(&o.ObjectMeta, o.Spec.Removed)
	},
	matches: func(*v1alpha1.PodObituary) bool { return true },
}

func readingPage(clk *clocktesting.FakePassiveClock) *Page {
	return &Page{Options: Options{Clock: clk}, longReads: make(chan struct{}, maxLongReads)}
}

// From page to page, each record is shown once, the newest first, however the API server orders
// them; no more than a page is kept.
func TestPagesAreTheNewestFirst(t *testing.T) {
	t.Parallel()
	const n = 3_210
	clk := clocktesting.NewFakePassiveClock(noon)
	list, chunks := stored(n, clk, 0)
	p := readingPage(clk)
	var seen []place
	for q := (query{}); ; {
		after, err := parsePlace(q.After)
		if err != nil {
			t.Fatal(err)
		}
		found, err := read(t.Context(), p, list, everything, after, 300)
		if err != nil {
			t.Fatal(err)
		}
		if len(found.rows) > 300 || cap(found.rows) > 600 || found.before != len(seen) ||
			found.matching != n || found.cut {
			t.Fatalf("%d rows of %d, %d before", len(found.rows), found.matching, found.before)
		}
		for _, o := range found.rows {
			seen = append(seen, everything.place(&o))
		}
		pages := pagingOf(found, q, "/", everything.place)
		if pages.Next == "" {
			break
		}
		q.After = everything.place(&found.rows[len(found.rows)-1]).String()
	}
	if len(seen) != n || !slices.IsSortedFunc(seen, place.compare) ||
		len(slices.Compact(slices.Clone(seen))) != n {
		t.Errorf("%d records are shown, some twice or in another order", len(seen))
	}
	if want := 11 * (n/pageSize + 1); *chunks != want {
		t.Errorf("%d requests, want %d", *chunks, want)
	}
	if len(p.longReads) != 0 {
		t.Error("a long read never ends")
	}
}

// A visit ends when it has read for long enough, and only a few read much at the same time.
func TestReadingIsBounded(t *testing.T) {
	t.Parallel()
	clk := clocktesting.NewFakePassiveClock(noon)
	p := readingPage(clk)
	slow, chunks := stored(20*pageSize, clk, maxReading/5)
	found, err := read(t.Context(), p, slow, everything, nil, rowsShown)
	if err != nil || !found.cut || found.read != 5*pageSize || *chunks != 5 {
		t.Errorf("%d records are read in %d requests, %v", found.read, *chunks, err)
	}
	many, _ := stored(maxRead+3*pageSize, clk, 0)
	if found, err := read(t.Context(), p, many, everything, nil, rowsShown); err != nil ||
		!found.cut || found.read != maxRead || len(found.rows) != rowsShown {
		t.Errorf("%d records are read, %v", found.read, err)
	}
	for range maxLongReads {
		p.longReads <- struct{}{}
	}
	if _, err := read(t.Context(), p, many, everything, nil, rowsShown); !errors.Is(err, errBusy) {
		t.Errorf("one more long read: %v", err)
	}
	few, _ := stored(freelyRead, clk, 0)
	if _, err := read(t.Context(), p, few, everything, nil, rowsShown); err != nil {
		t.Errorf("a short read beside long ones: %v", err)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	want := place{noon, "ns", "p"}
	if got, err := parsePlace(want.String()); err != nil || *got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"x", "2026-05-01T12:00:00Z", "2026-05-01T12:00:00Z,p", ",ns/p"} {
		if _, err := parsePlace(text); !errors.Is(err, errRefused) {
			t.Errorf("%q is not refused: %v", text, err)
		}
	}
}
