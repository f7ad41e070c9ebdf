package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/epitaph-k8s/epitaph/archive"
)

const (
	insert = `INSERT INTO records (cluster, kind, uid, epoch, revision, removed, namespace, name,
		node, code, class, document, change, fingerprint, seconds, gpu_seconds)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
		ON CONFLICT (cluster, uid) `
	whole = insert + `DO UPDATE SET kind = excluded.kind, epoch = excluded.epoch,
		revision = excluded.revision, removed = excluded.removed, namespace = excluded.namespace,
		name = excluded.name, node = excluded.node, code = excluded.code, class = excluded.class,
		document = excluded.document, change = excluded.change,
		fingerprint = excluded.fingerprint, seconds = excluded.seconds,
		gpu_seconds = excluded.gpu_seconds
		WHERE (excluded.epoch, excluded.revision) > (records.epoch, records.revision)
		RETURNING id`
	// If it was told by the record's end, nothing is changed.
	unlessThere = insert + "DO NOTHING RETURNING id"
	forget      = "DELETE FROM terms WHERE record = ?1"
	remember    = "INSERT INTO terms (record, term) VALUES (?1, ?2)"
	// The transaction has the file to itself until it commits: so nobody sees a number before all
	// lower ones.
	number = "UPDATE changes SET last = last + ?1 RETURNING last - ?1"
	reach  = `INSERT INTO positions (cluster, kind, epoch, revision) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (cluster, kind) DO UPDATE SET epoch = excluded.epoch,
		revision = excluded.revision
		WHERE (excluded.epoch, excluded.revision) > (positions.epoch, positions.revision)`
)

// Put stores a batch.
func (s *Store) Put(ctx context.Context, b archive.Batch) error {
	if err := in(b.In); err != nil {
		return err
	}
	records, err := b.Storable(s.clock.Now())
	if err != nil {
		return err
	}
	if err := s.put(ctx, b, records); err != nil {
		return fmt.Errorf("write %d records to the archive: %w", len(records), judged(err))
	}
	return nil
}

// judged marks errors that are about data.
func judged(err error) error {
	var said *sqlite.Error
	if errors.As(err, &said) {
		switch said.Code() & 0xff { // the primary code
		case sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH:
			return fmt.Errorf("%w: %w", archive.ErrRefused, err)
		}
	}
	return err
}

func (s *Store) put(ctx context.Context, b archive.Batch, records []archive.Record) (err error) {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback()
		}
	}()
	var w writer
	if err := w.prepare(ctx, tx); err != nil {
		return err
	}
	var last int64
	if err := tx.QueryRowContext(ctx, number, len(records)).Scan(&last); err != nil {
		return err
	}
	for n, r := range records {
		if err := w.put(ctx, r, last+1+int64(n)); err != nil {
			return err
		}
	}
	if b.Reached.Epoch != 0 {
		_, err := tx.ExecContext(ctx, reach, b.Cluster, string(b.Kind), b.Reached.Epoch,
			b.Reached.Revision)
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// A writer has the statements of one transaction.
type writer struct{ whole, unlessThere, forget, remember *sql.Stmt }

func (w *writer) prepare(ctx context.Context, tx *sql.Tx) (err error) {
	for text, to := range map[string]**sql.Stmt{whole: &w.whole, unlessThere: &w.unlessThere,
		forget: &w.forget, remember: &w.remember} {
		if *to, err = tx.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) put(ctx context.Context, r archive.Record, change int64) error {
	statement := w.whole
	if r.Gone {
		statement = w.unlessThere
	}
	var id int64
	err := statement.QueryRowContext(ctx, r.Cluster, string(r.Kind), r.UID, r.Epoch, r.Revision,
		r.Removed.UnixMicro(), r.Namespace, r.Name, r.Node, r.Code, r.Class,
		string(r.Document), change, r.Fingerprint, r.Seconds(), r.GPUSeconds).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // a later revision is there
	}
	if err != nil {
		return err
	}
	if _, err := w.forget.ExecContext(ctx, id); err != nil {
		return err
	}
	for _, term := range r.Terms() {
		if _, err := w.remember.ExecContext(ctx, id, term); err != nil {
			return err
		}
	}
	return nil
}

// expireAtOnce bounds how long one removal keeps others from writing.
const expireAtOnce = 1000

// Expire removes the records of the months that were over before a time.
func (s *Store) Expire(ctx context.Context, before time.Time) (removed int64, err error) {
	for {
		n, err := s.expireSome(ctx, archive.Month(before).UnixMicro())
		removed += n
		if err != nil {
			return removed, fmt.Errorf("remove records from the archive: %w", err)
		}
		if n < expireAtOnce {
			return removed, nil
		}
	}
}

func (s *Store) expireSome(ctx context.Context, before int64) (n int64, err error) {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback()
		}
	}()
	const oldest = " IN (SELECT id FROM records WHERE removed < ?1 ORDER BY removed LIMIT ?2)"
	if _, err := tx.ExecContext(ctx, "DELETE FROM terms WHERE record"+oldest, before,
		expireAtOnce); err != nil {
		return 0, err
	}
	done, err := tx.ExecContext(ctx, "DELETE FROM records WHERE id"+oldest, before, expireAtOnce)
	if err != nil {
		return 0, err
	}
	if n, err = done.RowsAffected(); err != nil {
		return 0, err
	}
	return n, tx.Commit()
}
