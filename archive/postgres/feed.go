package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/sqlquery"
)

// Changes returns the first of a cluster's changes after a mark.
func (s *Store) Changes(ctx context.Context, of archive.Incarnation, cluster string,
	after archive.Mark, limit int) (all []archive.Change, err error) {
	ctx, cancel := s.soon(ctx)
	defer cancel()
	err = s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if err := in(ctx, c, of); err != nil {
			return err
		}
		rows, err := c.Query(ctx, "SELECT "+sqlquery.Columns+`, change FROM records
			WHERE cluster = $1 AND (change, uid) > ($2, $3) ORDER BY change, uid LIMIT $4`,
			cluster, after.Number, after.UID, limit)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanChange)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what was archived last: %w", err)
	}
	return all, nil
}

func scanChange(row pgx.CollectableRow) (c archive.Change, err error) {
	err = row.Scan(append(columns(&c.Record), &c.Mark.Number)...)
	c.Record.Removed, c.Mark.UID = c.Record.Removed.UTC(), c.Record.UID
	return c, err
}

// Newest returns the mark of what was stored last.
func (s *Store) Newest(ctx context.Context, cluster string) (m archive.Mark, err error) {
	ctx, cancel := s.soon(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, `SELECT change, uid FROM records WHERE cluster = $1
		ORDER BY change DESC, uid DESC LIMIT 1`, cluster).Scan(&m.Number, &m.UID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return m, fmt.Errorf("ask what was archived last: %w", err)
	}
	return m, nil
}

// Reached returns how far a receiver has got.
func (s *Store) Reached(ctx context.Context, cluster, receiver string) (m archive.Mark, known bool,
	err error) {
	ctx, cancel := s.soon(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, "SELECT change, uid FROM receivers WHERE cluster = $1 AND name = $2",
		cluster, receiver).Scan(&m.Number, &m.UID)
	if errors.Is(err, pgx.ErrNoRows) {
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
	ctx, cancel := s.soon(ctx)
	defer cancel()
	err := s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if err := in(ctx, c, of); err != nil {
			return err
		}
		_, err := c.Exec(ctx, `INSERT INTO receivers (cluster, name, change, uid)
			VALUES ($1, $2, $3, $4)
			ON CONFLICT (cluster, name) DO UPDATE SET change = excluded.change, uid = excluded.uid
			WHERE (excluded.change, excluded.uid) > (receivers.change, receivers.uid)`,
			cluster, receiver, at.Number, at.UID)
		return err
	})
	if err != nil {
		return fmt.Errorf("store how far the receiver has got: %w", err)
	}
	return nil
}
