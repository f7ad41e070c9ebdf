package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/epitaph-k8s/epitaph/archive"
)

// The planner knows nothing of a table that nobody has analysed, and then reads all records of a
// code to find a page of one namespace's: 300,000 records, 38,000 blocks instead of 106. The
// server's own autovacuum comes a minute later at best, and that is a long time while a cluster is
// archived for the first time. So a month is analysed when it has grown to these sizes.
const (
	analysedFrom = 1000
	analysedTo   = 1_000_000
	growth       = 10
)

// grow notes that records of months were stored, and returns the months to be analysed.
func (s *Store) grow(records []archive.Record) (due []time.Time) {
	stored := map[time.Time]int64{}
	for _, r := range records {
		stored[archive.Month(r.Removed)]++
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for month, n := range stored {
		before := s.grown[month]
		s.grown[month] = before + n
		for size := int64(analysedFrom); size <= analysedTo; size *= growth {
			if before < size && before+n >= size {
				due = append(due, month)
				break
			}
		}
	}
	return due
}

// analyse has the planner know the months. Without it everything works, and some of it slowly: a
// failure is nobody's.
func (s *Store) analyse(ctx context.Context, months []time.Time) {
	for _, month := range months {
		_ = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '1s'"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "ANALYZE "+pgx.Identifier{partition(month)}.Sanitize())
			return err
		})
	}
}
