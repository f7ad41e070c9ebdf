package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/epitaph-k8s/epitaph/archive"
)

// incarnation is when the server was started, which no other one was in the same microsecond, its
// standby neither, and which table it is: a backup that is restored into a server that runs on
// makes another one. The time is without the session's zone.
const incarnation = `SELECT extract(epoch FROM pg_postmaster_start_time())::text || ' ' ||
	'records'::regclass::oid`

// Incarnation returns that of the database.
func (s *Store) Incarnation(ctx context.Context) (archive.Incarnation, error) {
	ctx, cancel := s.soon(ctx)
	defer cancel()
	return incarnationOf(ctx, s.pool)
}

// An asked is a connection, a transaction or the pool of all connections.
type asked interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func incarnationOf(ctx context.Context, a asked) (is archive.Incarnation, err error) {
	if err := a.QueryRow(ctx, incarnation).Scan(&is); err != nil {
		return "", fmt.Errorf("ask which database the archive is in: %w", err)
	}
	return is, nil
}

// in checks that a connection leads to an incarnation. It cannot lead to another one later: it ends
// with the server.
func in(ctx context.Context, connection asked, want archive.Incarnation) error {
	if want == "" {
		return nil
	}
	is, err := incarnationOf(ctx, connection)
	if err != nil {
		return err
	}
	if is != want {
		return archive.ErrReplaced
	}
	return nil
}
