package sqlite

import (
	"context"
	"fmt"

	"github.com/epitaph-k8s/epitaph/archive"
)

// readAtOnce bounds the records that are read anew at a time.
const readAtOnce = 200

// readAnew reads the fingerprints of nodes' records that an older program has stored.
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

func (s *Store) readSome(ctx context.Context) (n int, err error) {
	rows, err := s.readers.QueryContext(ctx, `SELECT id, document FROM records
		WHERE kind = 'Node' AND fingerprint IS NULL LIMIT ?1`, readAtOnce)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	found := map[int64]string{}
	for rows.Next() {
		var id int64
		var document []byte
		if err := rows.Scan(&id, &document); err != nil {
			return 0, err
		}
		found[id] = archive.FingerprintOf(document)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	for id, fingerprint := range found {
		if _, err := s.writer.ExecContext(ctx, `UPDATE records SET fingerprint = ?2
			WHERE id = ?1 AND fingerprint IS NULL`, id, fingerprint); err != nil {
			return 0, err
		}
	}
	return len(found), nil
}
