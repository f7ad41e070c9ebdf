package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/archive"
)

// after returns the UIDs of what was stored of cluster "changes" after a mark, and the mark of the
// last.
func after(t *testing.T, s archive.Feed, m archive.Mark,
	limit int) (uids []string, last archive.Mark) {
	t.Helper()
	all, err := s.Changes(context.WithoutCancel(t.Context()), "", "changes", m, limit)
	if err != nil {
		t.Fatal(err)
	}
	last = m
	for _, c := range all {
		if c.Mark.UID != c.Record.UID || c.Mark.Number <= last.Number {
			t.Errorf("%s has the mark %+v after %+v", c.Record.UID, c.Mark, last)
		}
		last, uids = c.Mark, append(uids, c.Record.UID)
	}
	return uids, last
}

func changes(t *testing.T, s archive.Store) {
	newest := func() archive.Mark {
		m, err := s.Newest(t.Context(), "changes")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	equal(t, newest(), archive.Mark{})
	revision := func(n int64) func(*archive.Record) {
		return func(r *archive.Record) { r.Revision = n }
	}
	put(t, s, aRecord("changes", "b", time.Hour), aRecord("changes", "a", 2*time.Hour))
	put(t, s, aRecord("changes-2", "of another cluster", 0))
	put(t, s, aRecord("changes", "c", 90*24*time.Hour)) // in another month
	seen, last := after(t, s, archive.Mark{}, 10)
	equal(t, seen, []string{"b", "a", "c"})
	equal(t, newest(), last)

	// Page by page.
	seen, m := after(t, s, archive.Mark{}, 2)
	equal(t, seen, []string{"b", "a"})
	seen, m = after(t, s, m, 2)
	equal(t, seen, []string{"c"})
	equal(t, m, last)

	// What is amended comes again, at the end; what is there already, does not.
	put(t, s, aRecord("changes", "a", time.Minute, revision(11)), aRecord("changes", "c", 0, revision(9)))
	put(t, s, aRecord("changes", "b", time.Hour))
	put(t, s, aRecord("changes", "b", 0, func(r *archive.Record) { r.Gone, r.Revision = true, 12 }))
	seen, m = after(t, s, last, 10)
	equal(t, seen, []string{"a"})
	all, err := s.Changes(t.Context(), "", "changes", last, 10)
	if err != nil {
		t.Fatal(err)
	}
	want := archive.Record{Cluster: "changes", Kind: archive.PodKind, UID: "a", Epoch: 1, Revision: 11,
		Removed: Now.Add(-time.Minute), Namespace: "batch", Name: "pod-a", Node: "n1", Code: "KernelPanic",
		Class: "disruption", Document: []byte(`{"uid": "a"}`)}
	equal(t, all[0].Record, want)
	seen, _ = after(t, s, archive.Mark{}, 10)
	equal(t, seen, []string{"b", "c", "a"})
	equal(t, newest(), m)
}

func receivers(t *testing.T, s archive.Store) {
	at := func(cluster, receiver string) (archive.Mark, bool) {
		m, known, err := s.Reached(t.Context(), cluster, receiver)
		if err != nil {
			t.Fatal(err)
		}
		return m, known
	}
	if m, known := at("receivers", "siem"); known {
		t.Errorf("a receiver that was never told has got to %+v", m)
	}
	for _, step := range []struct{ reach, want archive.Mark }{
		{archive.Mark{}, archive.Mark{}},
		{archive.Mark{UID: "b"}, archive.Mark{UID: "b"}},
		{archive.Mark{UID: "a"}, archive.Mark{UID: "b"}},
		{archive.Mark{Number: 7, UID: "a"}, archive.Mark{Number: 7, UID: "a"}},
		{archive.Mark{Number: 6, UID: "z"}, archive.Mark{Number: 7, UID: "a"}},
	} {
		if err := s.Reach(t.Context(), "", "receivers", "siem", step.reach); err != nil {
			t.Fatal(err)
		}
		m, known := at("receivers", "siem")
		if equal(t, m, step.want); !known {
			t.Error("the receiver is not known")
		}
	}
	for _, other := range [][2]string{{"receivers", "chat"}, {"receivers-2", "siem"}} {
		if _, known := at(other[0], other[1]); known {
			t.Errorf("%v has got as far as another", other)
		}
	}
}

// Two clusters, each with two replicas that write at once, and a reader of each that never looks
// back: it sees everything, whoever commits first.
func behind(t *testing.T, s archive.Store) {
	const writers, batches, each = 2, 40, 3
	ctx := context.WithoutCancel(t.Context())
	var all sync.WaitGroup
	for _, cluster := range []string{"behind-1", "behind-2"} {
		var writing sync.WaitGroup
		for w := range writers {
			writing.Go(func() {
				for n := range batches {
					b := archive.Batch{Cluster: cluster, Kind: archive.PodKind}
					for i := range each {
						b.Records = append(b.Records, aRecord(cluster, fmt.Sprintf("%d-%d-%d", w, n, i), 0))
					}
					if err := s.Put(ctx, b); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { writing.Wait(); close(done) }()
		all.Go(func() {
			seen, m := map[string]int{}, archive.Mark{}
			for ended := false; ; {
				found, err := s.Changes(ctx, "", cluster, m, 7)
				if err != nil {
					t.Error(err)
					break
				}
				for _, c := range found {
					m = c.Mark
					seen[c.Record.UID]++
				}
				if ended && len(found) == 0 {
					break
				}
				select {
				case <-done:
					ended = true
				default:
				}
			}
			<-done
			if len(seen) != writers*batches*each {
				t.Errorf("%s: the reader saw %d of %d records", cluster, len(seen), writers*batches*each)
			}
		})
	}
	all.Wait()
}

// Who goes on from what another database has said, stores nothing and is told nothing.
func another(t *testing.T, s archive.Store) {
	const cluster = "another database"
	in, err := s.Incarnation(t.Context())
	if err != nil || in == "" {
		t.Fatalf("the incarnation is %q: %v", in, err)
	}
	for _, step := range []struct {
		in   archive.Incarnation
		want error
	}{{"x" + in, archive.ErrReplaced}, {in, nil}, {"", nil}} {
		b := archive.Batch{Cluster: cluster, Kind: archive.PodKind, In: step.in,
			Reached: archive.Position{Epoch: 1, Revision: 5}, Records: []archive.Record{aRecord(cluster, "a", 0)}}
		if err := s.Put(t.Context(), b); !errors.Is(err, step.want) {
			t.Errorf("in %q: stored: %v", step.in, err)
		}
		found, err := s.Changes(t.Context(), step.in, cluster, archive.Mark{}, 10)
		if !errors.Is(err, step.want) || step.want == nil && len(found) != 1 {
			t.Errorf("in %q: told %d changes: %v", step.in, len(found), err)
		}
		if err := s.Reach(t.Context(), step.in, cluster, "siem", archive.Mark{Number: 7}); !errors.Is(err, step.want) {
			t.Errorf("in %q: reached: %v", step.in, err)
		}
		at, err := s.Position(t.Context(), cluster, archive.PodKind)
		_, known, unknown := s.Reached(t.Context(), cluster, "siem")
		if err := errors.Join(err, unknown); err != nil {
			t.Fatal(err)
		}
		if stored := step.want == nil; known != stored || (at.Epoch == 1) != stored ||
			(len(uids(t, s, archive.Query{Cluster: cluster})) == 1) != stored {
			t.Errorf("in %q: the position is %+v, the receiver is known: %v", step.in, at, known)
		}
	}
}
