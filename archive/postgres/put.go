package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/epitaph-k8s/epitaph/archive"
)

// A batch is copied to a table of the session, and from there to the records. The time of an
// amended record may be another: its old revision is looked for in the months around it, and may
// be in another partition.
const (
	stage = `CREATE TEMPORARY TABLE IF NOT EXISTS staged_records (LIKE records,
		gone boolean NOT NULL, earliest timestamptz NOT NULL, latest timestamptz NOT NULL)
		ON COMMIT DELETE ROWS`
	// The planner knows nothing of the session's table; the indexes are right for any number of
	// rows in it.
	plan = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"
	// Nothing waits for ever: whoever holds the lock is dead, and the server does not know yet. If
	// it is we who vanish, the server gives up our transaction, and its locks, in that time.
	patience = `SELECT set_config('lock_timeout', '30s', true), set_config('statement_timeout', $1, true),
		set_config('idle_in_transaction_session_timeout', $1, true)`
	turn     = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
	samePast = `r.cluster = s.cluster AND r.uid = s.uid
		AND r.removed BETWEEN s.earliest AND s.latest`
	known = `DELETE FROM staged_records s USING records r WHERE ` + samePast + `
		AND (s.gone OR (r.epoch, r.revision) >= (s.epoch, s.revision))`
	replaced = "DELETE FROM records r USING staged_records s WHERE " + samePast
	insert   = "INSERT INTO records (" + stored + ") SELECT " + stored + " FROM staged_records"
	reach    = `INSERT INTO positions (cluster, kind, epoch, revision) VALUES ($1, $2, $3, $4)
		ON CONFLICT (cluster, kind) DO UPDATE SET epoch = excluded.epoch,
		revision = excluded.revision
		WHERE (excluded.epoch, excluded.revision) > (positions.epoch, positions.revision)`

	stored = `cluster, kind, uid, epoch, revision, removed, namespace, name, node, code, class, terms,
		document, fingerprint, seconds, gpu_seconds`
)

var staged = []string{"cluster", "kind", "uid", "epoch", "revision", "removed", "namespace", "name",
	"node", "code", "class", "terms", "document", "fingerprint", "seconds", "gpu_seconds", "gone",
	"earliest", "latest"}

// near is how far the times of two revisions of a record may be apart.
const near = 32 * 24 * time.Hour

// Put stores a batch.
func (s *Store) Put(ctx context.Context, b archive.Batch) error {
	ctx, cancel := s.soon(ctx)
	defer cancel()
	now := s.clock.Now()
	records, err := b.Storable(now)
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := s.ensureMonth(ctx, r.Removed); err != nil {
			return err
		}
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		return s.put(ctx, tx, b, records, now)
	})
	if err != nil {
		s.forgetMonths() // somebody may have dropped one
		return fmt.Errorf("write %d records to the archive: %w", len(records), judged(err))
	}
	s.analyse(ctx, s.grow(records))
	return nil
}

// judged marks errors that are about data: classes 22 (data exception), 23 (integrity constraint)
// and 54 (program limit exceeded) of PostgreSQL's appendix A. That a month has no partition is not:
// somebody has dropped it, or a standby was promoted that never had it. It has the code of a CHECK,
// and no constraint's name (ExecFindPartition in PostgreSQL's execPartition.c).
func judged(err error) error {
	var said *pgconn.PgError
	if errors.As(err, &said) && len(said.Code) == 5 &&
		(said.Code != checkViolation || said.ConstraintName != "") {
		switch said.Code[:2] {
		case "22", "23", "54":
			return fmt.Errorf("%w: %w", archive.ErrRefused, err)
		}
	}
	return err
}

const checkViolation = "23514"

// limit has the server end the transaction by itself.
func (s *Store) limit(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, patience, strconv.FormatInt(s.within.Milliseconds(), 10))
	return err
}

func (s *Store) put(ctx context.Context, tx pgx.Tx, b archive.Batch, records []archive.Record,
	now time.Time) error {
	if err := in(ctx, tx, b.In); err != nil {
		return err
	}
	if err := s.limit(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, turn, "epitaph archive "+b.Cluster); err != nil {
		return err
	}
	if len(records) > 0 {
		if err := upsert(ctx, tx, records, now); err != nil {
			return err
		}
	}
	if b.Reached.Epoch == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, reach, b.Cluster, string(b.Kind), b.Reached.Epoch, b.Reached.Revision)
	return err
}

func upsert(ctx context.Context, tx pgx.Tx, records []archive.Record, now time.Time) error {
	if _, err := tx.Exec(ctx, plan); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, stage); err != nil {
		return err
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"staged_records"}, staged,
		pgx.CopyFromSlice(len(records), func(n int) ([]any, error) {
			return row(records[n], now), nil
		}))
	if err != nil {
		return err
	}
	for _, statement := range []string{known, replaced, insert} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// row is a record in the session's table.
func row(r archive.Record, now time.Time) []any {
	earliest := pgtype.Timestamptz{Time: r.Removed.Add(-near), Valid: true}
	latest := pgtype.Timestamptz{Time: r.Removed.Add(near), Valid: true}
	if !r.Removed.Before(now.Add(-time.Minute)) || r.Removed.Before(now.Add(-longAgo)) {
		// It may have been corrected, to another time each time: look everywhere.
		earliest = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
		latest = pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
	}
	return []any{r.Cluster, string(r.Kind), r.UID, r.Epoch, r.Revision, r.Removed, r.Namespace,
		r.Name, r.Node, r.Code, r.Class, r.Terms(), r.Document, r.Fingerprint, r.Seconds(),
		r.GPUSeconds, r.Gone, earliest, latest}
}

// longAgo is older than what a cluster still has.
const longAgo = 10 * 365 * 24 * time.Hour

// ensureMonth makes the partition of a time if there is none.
func (s *Store) ensureMonth(ctx context.Context, t time.Time) error {
	month := archive.Month(t)
	s.mu.Lock()
	there := s.months[month]
	s.mu.Unlock()
	if there {
		return nil
	}
	// The text is made of a date alone. Those who make one at once wait for each other.
	statement := fmt.Sprintf(
		"CREATE TABLE IF NOT EXISTS %s PARTITION OF records FOR VALUES FROM ('%s') TO ('%s')",
		partition(month), month.Format(bound), month.AddDate(0, 1, 0).Format(bound))
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := s.limit(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, turn, "epitaph archive months"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, statement)
		return err
	})
	if err != nil {
		return fmt.Errorf("make the archive's partition of %s: %w", month.Format("2006-01"), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.months[month] = true
	return nil
}

func (s *Store) forgetMonths() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.months)
}

const (
	// bound is a time of UTC, whatever the session's zone is.
	bound = "2006-01-02 15:04:05+00"
	// partitions is what the names of partitions begin with.
	partitions = "records_"
)

func partition(month time.Time) string { return partitions + month.Format("2006_01") }

// Expire drops the months that were over before a time.
func (s *Store) Expire(ctx context.Context, before time.Time) (removed int64, err error) {
	rows, err := s.pool.Query(ctx, `SELECT c.relname, greatest(c.reltuples, 0)::bigint
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'records'::regclass`)
	if err != nil {
		return 0, fmt.Errorf("list the archive's partitions: %w", err)
	}
	type month struct {
		Name string
		Rows int64
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[month])
	if err != nil {
		return 0, fmt.Errorf("list the archive's partitions: %w", err)
	}
	defer s.forgetMonths()
	for _, p := range all {
		begins, err := time.Parse(partitions+"2006_01", p.Name)
		if err != nil || !begins.Before(archive.Month(before)) {
			continue // not ours, or not over
		}
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			if err := s.limit(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "DROP TABLE IF EXISTS "+pgx.Identifier{p.Name}.Sanitize())
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("drop the archive's partition %s: %w", p.Name, err)
		}
		removed += p.Rows
	}
	return removed, nil
}
