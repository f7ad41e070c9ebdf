// Command archive measures the stores of the archive: how many records a second they take, how long
// look-ups and reports take among all of them, and how many bytes a record costs; what it costs to
// number what is stored, for receivers; and how much memory `epitaph archive` takes. PostgreSQL is
// the distribution's, writes to the disk what it confirms, and is otherwise as the tests run it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/postgres"
	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	server "github.com/epitaph-k8s/epitaph/test/postgres"
)

func main() {
	var o options
	flag.IntVar(&o.records, "records", 1_000_000, "`records` in PostgreSQL, of two clusters; 0 for none")
	flag.IntVar(&o.put, "put", 100_000, "how many `records` of them are stored as the archive does; the others are copied before")
	flag.IntVar(&o.numbered, "numbered", 50_000, "`records` with and without their number in the order of storage; 0 for none")
	flag.IntVar(&o.inFile, "sqlite", 100_000, "`records` in SQLite; 0 for none")
	flag.IntVar(&o.inCluster, "cluster", 20_000, "`records` in a cluster that `epitaph archive` stores; 0 for none")
	flag.IntVar(&o.questions, "questions", 1000, "how many `look-ups` of each kind")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-archive:", err)
		os.Exit(1)
	}
}

// options are how much is measured.
type options struct {
	records, put, numbered, inFile, inCluster, questions int
}

func run(ctx context.Context, out io.Writer, o options) error {
	for _, part := range []struct {
		records int
		measure func() error
	}{
		{o.records, func() error { return inPostgreSQL(ctx, out, o) }},
		{o.numbered, func() error { return numbering(ctx, out, o.numbered) }},
		{o.inFile, func() error { return inSQLite(ctx, out, o.inFile, o.questions) }},
		{o.inCluster, func() error { return inProcess(ctx, out, o.inCluster) }},
	} {
		if part.records == 0 {
			continue
		}
		if err := part.measure(); err != nil {
			return err
		}
	}
	return nil
}

func inPostgreSQL(ctx context.Context, out io.Writer, o options) error {
	if err := enoughRoom(o.records); err != nil {
		return err
	}
	// What is copied into tables that were emptied in the same transaction is not logged then.
	db, err := server.Start(ctx, server.Options{Durable: true,
		Settings: map[string]string{"wal_level": "minimal", "max_wal_senders": "0",
			"max_wal_size": "256MB"}})
	if err != nil {
		return err
	}
	defer db.Stop()
	store, err := postgres.Open(ctx, db.DSN(), clock.RealClock{})
	if err != nil {
		return err
	}
	defer store.Close()
	put := min(o.put, o.records)
	if err := load(ctx, out, db, store, o.records-put); err != nil {
		return err
	}
	perSecond, err := fill(ctx, out, store, o.records-put, o.records)
	if err != nil {
		return err
	}
	bytes, err := db.Size(ctx)
	if err != nil {
		return err
	}
	parts, err := sizes(ctx, db.DSN())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "PostgreSQL, %d records: %.2f GB; bytes a record, by part:\n", o.records, gigabytes(bytes))
	for _, p := range parts {
		fmt.Fprintf(out, "  %.0f %s\n", float64(p.Bytes)/float64(o.records), p.Name)
	}
	lookups, err := ask(ctx, out, "PostgreSQL", store, o.records, o.questions)
	if err != nil {
		return err
	}
	lost, err := missing(ctx, store, o.records)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "RESULT archive_insert_per_s %.0f\n", perSecond)
	fmt.Fprintf(out, "RESULT archive_lookup_p99_ms %.2f\n", milliseconds(at(lookups, 99)))
	fmt.Fprintf(out, "RESULT archive_bytes_per_record %.0f\n", float64(bytes)/float64(o.records))
	fmt.Fprintf(out, "RESULT archive_lost %d\n", lost)
	return nil
}

func inSQLite(ctx context.Context, out io.Writer, records, questions int) error {
	dir, err := os.MkdirTemp("", "epitaph-bench-archive-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	store, err := sqlite.Open(ctx, filepath.Join(dir, "archive.db"), clock.RealClock{})
	if err != nil {
		return err
	}
	defer store.Close()
	perSecond, err := fill(ctx, out, store, 0, records)
	if err != nil {
		return err
	}
	lookups, err := ask(ctx, out, "SQLite", store, records, questions)
	if err != nil {
		return err
	}
	bytes, err := sizeOf(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "RESULT archive_sqlite_insert_per_s %.0f\n", perSecond)
	fmt.Fprintf(out, "RESULT archive_sqlite_lookup_p99_ms %.2f\n", milliseconds(at(lookups, 99)))
	fmt.Fprintf(out, "RESULT archive_sqlite_bytes_per_record %.0f\n", float64(bytes)/float64(records))
	return nil
}

// missing counts what is not there of what was stored.
func missing(ctx context.Context, store archive.Store, records int) (int64, error) {
	counts, err := store.Count(ctx, archive.Query{}, []archive.Field{archive.ByCluster})
	left := int64(records)
	for _, c := range counts {
		left -= c.N
	}
	return left, err
}

func sizeOf(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}

// ask asks what people ask, and returns how long each look-up of one pod took.
func ask(ctx context.Context, out io.Writer, name string, store archive.Store, records,
	questions int) (lookups []time.Duration, err error) {
	for _, kind := range []struct {
		what  string
		times int
		ask   func(n int) error
	}{
		{"why of one pod", questions, func(n int) error {
			page, err := store.List(ctx, lookUp(n, records))
			if err == nil && len(page.Records) == 0 {
				err = errors.New("a record is not found")
			}
			return err
		}},
		{"page of 100, by namespace and code", max(1, questions/10), func(n int) error {
			_, err := store.List(ctx, filtered(n))
			return err
		}},
		{"report of a month, by code", 5, func(n int) error {
			_, err := store.Count(ctx, ofMonth(n), []archive.Field{archive.ByCode})
			return err
		}},
	} {
		var took []time.Duration
		for n := range kind.times {
			began := time.Now()
			if err := kind.ask(n); err != nil {
				return nil, fmt.Errorf("%s: %w", kind.what, err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		fmt.Fprintf(out, "%s, %d records: %s: p50 %.2f ms, p99 %.2f ms\n", name, records, kind.what,
			milliseconds(at(took, 50)), milliseconds(at(took, 99)))
		if lookups == nil {
			lookups = took
		}
	}
	return lookups, nil
}

func at(sorted []time.Duration, percent int) time.Duration {
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
