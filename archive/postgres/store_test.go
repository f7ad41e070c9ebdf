package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/postgres"
	server "github.com/epitaph-k8s/epitaph/test/postgres"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

func opened(t *testing.T, dsn string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn, clocktesting.NewFakePassiveClock(storetest.Now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func query[T any](t *testing.T, s *server.Server, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var value T
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func TestStore(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)

	// Replicas that start at once on an empty database migrate it once.
	var wait sync.WaitGroup
	failures := make(chan error, 3)
	for range cap(failures) {
		wait.Go(func() {
			other, err := postgres.Open(t.Context(), s.DSN(), clocktesting.NewFakePassiveClock(storetest.Now))
			if err == nil {
				other.Close()
			}
			failures <- err
		})
	}
	wait.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}

	storetest.Run(t, opened(t, s.DSN()))

	// What the suite has left is in months, and a month that nobody can mean was never made.
	if n := query[int](t, s, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'records'::regclass"); n < 2 || n > 6 {
		t.Errorf("there are %d partitions", n)
	}
	if n := query[int](t, s, "SELECT count(*) FROM (SELECT 1 FROM records GROUP BY cluster, uid HAVING count(*) > 1) x"); n > 0 {
		t.Errorf("%d records are there twice", n)
	}
}

// An archive of before fingerprints is read on, and has those of its nodes.
func TestArchiveOfBefore(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)
	store := opened(t, s.DSN())
	if err := store.Put(t.Context(), archive.Batch{Cluster: "c", Kind: archive.PodKind,
		Records: []archive.Record{{Cluster: "c", Kind: archive.PodKind, UID: "1", Epoch: 1, Revision: 1,
			Removed: storetest.Now, Document: []byte("{}")}}}); err != nil {
		t.Fatal(err) // it makes the month
	}
	conn, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	storetest.Before(t, func(statement string) error {
		_, err := conn.Exec(t.Context(), statement)
		return err
	}, "'2026-11-20 11:00:00+00'", "terms", "'{}'")
	storetest.After(t, opened(t, s.DSN()))
}

// The planner knows a month that has grown, before the server looks by itself.
func TestGrownMonthIsAnalysed(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)
	store := opened(t, s.DSN())
	for n, want := range []bool{false, true} {
		b := archive.Batch{Cluster: "c", Kind: archive.PodKind}
		for i := range 500 {
			b.Records = append(b.Records, archive.Record{Cluster: "c", Kind: archive.PodKind,
				UID: fmt.Sprint(n, i), Epoch: 1, Revision: 1, Removed: storetest.Now, Document: []byte("{}")})
		}
		if err := store.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		known := query[float32](t, s, "SELECT reltuples FROM pg_class WHERE relname = 'records_2026_11'")
		if got := known >= 1000; got != want {
			t.Errorf("after %d records the planner knows of %v", (n+1)*500, known)
		}
	}
}

// The zone of the session does not move the borders of months.
func TestZoneOfTheSession(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)
	store := opened(t, s.DSN()+" timezone=Pacific/Kiritimati")
	for n, at := range []time.Time{
		time.Date(2026, 10, 31, 23, 59, 59, 999999000, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
	} {
		uid := fmt.Sprint(n)
		if err := store.Put(t.Context(), archive.Batch{Cluster: "c", Kind: archive.PodKind,
			Records: []archive.Record{{Cluster: "c", Kind: archive.PodKind, UID: uid, Epoch: 1, Revision: 1,
				Removed: at, Document: []byte("{}")}}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := query[int](t, s, "SELECT count(*) FROM records_2026_10"); n != 1 {
		t.Errorf("October has %d records", n)
	}
	got, err := store.Count(t.Context(), archive.Query{}, []archive.Field{archive.ByMonth})
	if err != nil {
		t.Fatal(err)
	}
	want := []archive.Count{{Of: []string{"2026-10"}, N: 1}, {Of: []string{"2026-11"}, N: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A writer goes on after its server was killed, with what it has already sent.
func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)
	store := opened(t, s.DSN())
	batch := func(n int) archive.Batch {
		return archive.Batch{Cluster: "c", Kind: archive.PodKind, Reached: archive.Position{Epoch: 1, Revision: int64(n)},
			Records: []archive.Record{{Cluster: "c", Kind: archive.PodKind, UID: fmt.Sprint(n), Epoch: 1,
				Revision: int64(n), Removed: storetest.Now, Document: []byte("{}")}}}
	}
	if err := store.Put(t.Context(), batch(1)); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	// The process that serves a connection ends once it notices that its server is dead: until then
	// it may still store a batch.
	for dead := time.Now(); store.Put(t.Context(), batch(2)) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(dead) > time.Minute {
			t.Fatal("stored in a server that is dead")
		}
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for {
		if err := store.Put(t.Context(), batch(2)); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := query[int](t, s, "SELECT count(*) FROM records"); n != 2 {
		t.Errorf("there are %d records, want 2", n)
	}
}

// Whoever reads the log must not learn the password.
func TestErrorsHaveNoPassword(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"postgres://u:hunter2@127.0.0.1:1/db?connect_timeout=1",
		"postgres://u:hunter2@[::1/db", "host=/nowhere password=hunter2 sslmode=wrong"} {
		_, err := postgres.Open(t.Context(), dsn, clocktesting.NewFakePassiveClock(storetest.Now))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}
