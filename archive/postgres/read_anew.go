package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/epitaph-k8s/epitaph/archive"
)

// readAtOnce bounds the records that are read anew at a time.
const readAtOnce = 200

// unread are records of nodes whose fingerprint nobody has read. Others may do the same at once.
const unread = `SELECT cluster, uid, removed, document FROM records
	WHERE kind = 'Node' AND fingerprint IS NULL LIMIT $1`

// readAnew reads the fingerprints of records that an older program has stored.
func (s *Store) readAnew(ctx context.Context) error {
	for {
		n, err := s.readSome(ctx)
		if err != nil {
			return fmt.Errorf("read fingerprints of the archive's records: %w", err)
		}
		if n < readAtOnce {
			return nil
		}
	}
}

func (s *Store) readSome(ctx context.Context) (int, error) {
	rows, err := s.pool.Query(ctx, unread, readAtOnce)
	if err != nil {
		return 0, err
	}
	type record struct {
		Cluster, UID string
		Removed      time.Time
		Document     []byte
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[record])
	if err != nil {
		return 0, err
	}
	batch := &pgx.Batch{}
	for _, r := range found {
		batch.Queue(`UPDATE records SET fingerprint = $4
			WHERE cluster = $1 AND uid = $2 AND removed = $3 AND fingerprint IS NULL`,
			r.Cluster, r.UID, r.Removed, archive.FingerprintOf(r.Document))
	}
	return len(found), s.pool.SendBatch(ctx, batch).Close()
}
