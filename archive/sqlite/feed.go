package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/sqlquery"
)

// incarnation is that of every file: what is confirmed is on the disk, and a file that is replaced
// by another stays open as it is.
const incarnation archive.Incarnation = "file"

// Incarnation returns that of the file.
func (s *Store) Incarnation(context.Context) (archive.Incarnation, error) {
	return incarnation, nil
}

func in(want archive.Incarnation) error {
	if want != "" && want != incarnation {
		return archive.ErrReplaced
	}
	return nil
}

// Changes returns the first of a cluster's changes after a mark.
func (s *Store) Changes(ctx context.Context, of archive.Incarnation, cluster string,
	after archive.Mark, limit int) ([]archive.Change, error) {
	if err := in(of); err != nil {
		return nil, err
	}
	rows, err := s.readers.QueryContext(ctx, "SELECT "+sqlquery.Columns+`, change FROM records
		WHERE cluster = ?1 AND (change, uid) > (?2, ?3) ORDER BY change, uid LIMIT ?4`,
		cluster, after.Number, after.UID, limit)
	if err != nil {
		return nil, fmt.Errorf("read what was archived last: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []archive.Change
	for rows.Next() {
		var c archive.Change
		if c.Record, err = scan(rows, &c.Mark.Number); err != nil {
			return nil, fmt.Errorf("read what was archived last: %w", err)
		}
		c.Mark.UID = c.Record.UID
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read what was archived last: %w", err)
	}
	return all, nil
}

// Newest returns the mark of what was stored last.
func (s *Store) Newest(ctx context.Context, cluster string) (m archive.Mark, err error) {
	err = s.readers.QueryRowContext(ctx, `SELECT change, uid FROM records WHERE cluster = ?1
		ORDER BY change DESC, uid DESC LIMIT 1`, cluster).Scan(&m.Number, &m.UID)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return m, fmt.Errorf("ask what was archived last: %w", err)
	}
	return m, nil
}

// Reached returns how far a receiver has got.
func (s *Store) Reached(ctx context.Context, cluster, receiver string) (m archive.Mark, known bool,
	err error) {
	err = s.readers.QueryRowContext(ctx,
		"SELECT change, uid FROM receivers WHERE cluster = ?1 AND name = ?2", cluster,
		receiver).Scan(&m.Number, &m.UID)
	if errors.Is(err, sql.ErrNoRows) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("ask how far the receiver has got: %w", err)
	}
	return m, true, nil
}

// Reach stores how far a receiver has got.
func (s *Store) Reach(ctx context.Context, of archive.Incarnation, cluster, receiver string,
	at archive.Mark) error {
	if err := in(of); err != nil {
		return err
	}
	_, err := s.writer.ExecContext(ctx, `INSERT INTO receivers (cluster, name, change, uid)
		VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (cluster, name) DO UPDATE SET change = excluded.change, uid = excluded.uid
		WHERE (excluded.change, excluded.uid) > (receivers.change, receivers.uid)`,
		cluster, receiver, at.Number, at.UID)
	if err != nil {
		return fmt.Errorf("store how far the receiver has got: %w", err)
	}
	return nil
}
