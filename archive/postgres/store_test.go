package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
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
	storetest.OpenedAtOnce(t, 3, func() (*postgres.Store, error) {
		return postgres.Open(t.Context(), s.DSN(), clocktesting.NewFakePassiveClock(storetest.Now))
	})
	migratedOnce(t, s)

	storetest.Run(t, opened(t, s.DSN()))

	// What the suite has left is in months, and a month that nobody can mean was never made.
	if n := query[int](t, s, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'records'::regclass"); n < 2 || n > 6 {
		t.Errorf("there are %d partitions", n)
	}
	if n := query[int](t, s, "SELECT count(*) FROM (SELECT 1 FROM records GROUP BY cluster, uid HAVING count(*) > 1) x"); n > 0 {
		t.Errorf("%d records are there twice", n)
	}
}

// migratedOnce checks that each version was made once: the first is that there are versions.
func migratedOnce(t *testing.T, s *server.Server) {
	t.Helper()
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	const count = "SELECT count(*) FROM schema_versions"
	if n := query[int](t, s, count); n != len(files)+1 {
		t.Errorf("%d versions are noted, want %d", n, len(files)+1)
	}
}

// Replicas that start at once on an archive of the oldest schema, with records in it, migrate it
// once. It is read on, and has the fingerprints of its nodes.
func TestOldestArchive(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)
	config, err := pgx.ParseConfig(s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	oldest, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("migrations"),
		goose.WithTableName("schema_versions"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oldest.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Execute(t.Context(), `CREATE TABLE records_2026_11 PARTITION OF records
		FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00')`); err != nil {
		t.Fatal(err)
	}
	storetest.Before(t, func(statement string) error {
		return s.Execute(t.Context(), statement)
	}, "'2026-11-20 11:00:00+00'", "terms", "'{}'")
	storetest.OpenedAtOnce(t, 3, func() (*postgres.Store, error) {
		return postgres.Open(t.Context(), s.DSN(), clocktesting.NewFakePassiveClock(storetest.Now))
	})
	migratedOnce(t, s)
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

// A server that was started anew may lack what it has confirmed last: who goes on from there is told.
func TestServerIsStartedAnew(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)
	store := opened(t, s.DSN())
	was, err := store.Incarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := opened(t, s.DSN()+" timezone=Pacific/Kiritimati")
	is, err := again.Incarnation(t.Context())
	if err != nil || is == was {
		t.Errorf("it is the same: %q, %v", is, err)
	}
	b := archive.Batch{Cluster: "c", Kind: archive.PodKind, In: was, Reached: archive.Position{Epoch: 1, Revision: 9}}
	if err := again.Put(t.Context(), b); !errors.Is(err, archive.ErrReplaced) {
		t.Errorf("a batch that goes on from another: %v", err)
	}
	b.In = is
	if err := again.Put(t.Context(), b); err != nil {
		t.Error(err)
	}
	// So is a backup that is restored into a server that runs on.
	if err := s.Execute(t.Context(), "CREATE TABLE backup (LIKE records) PARTITION BY RANGE (removed)",
		"DROP TABLE records", "ALTER TABLE backup RENAME TO records"); err != nil {
		t.Fatal(err)
	}
	if err := again.Put(t.Context(), b); !errors.Is(err, archive.ErrReplaced) {
		t.Errorf("a batch that goes on from what was restored over: %v", err)
	}
}

// A month that somebody has dropped, or that a promoted standby never had, is no fault of the record.
func TestMonthIsGone(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)
	store := opened(t, s.DSN())
	b := func(uid string) archive.Batch {
		return archive.Batch{Cluster: "c", Kind: archive.PodKind, Records: []archive.Record{{Cluster: "c",
			Kind: archive.PodKind, UID: uid, Epoch: 1, Revision: 1, Removed: storetest.Now, Document: []byte("{}")}}}
	}
	if err := store.Put(t.Context(), b("1")); err != nil {
		t.Fatal(err)
	}
	if err := s.Execute(t.Context(), "DROP TABLE records_2026_11"); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), b("2")); err == nil || errors.Is(err, archive.ErrRefused) {
		t.Errorf("the month is gone: %v", err)
	}
	if err := store.Put(t.Context(), b("2")); err != nil {
		t.Errorf("once more: %v", err)
	}
	// What a constraint forbids, is.
	if err := s.Execute(t.Context(), "ALTER TABLE records ADD CHECK (uid <> '3')"); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), b("3")); !errors.Is(err, archive.ErrRefused) {
		t.Errorf("what a constraint forbids: %v", err)
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
