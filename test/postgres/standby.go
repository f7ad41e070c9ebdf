package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// StandbyForTest makes a standby of the server, which ends with the test.
func (s *Server) StandbyForTest(t testing.TB) *Server {
	t.Helper()
	b := &Server{bin: s.bin, unsafe: s.unsafe, settings: s.settings}
	if err := b.begin(t.Context(), "pg_basebackup", "--pgdata=data", "--host="+s.dir,
		"--username=epitaph", "--checkpoint=fast", "--wal-method=stream", "--no-sync",
		"--write-recovery-conf"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

// DSNWith is the connection string of whichever of two servers is the primary.
func (s *Server) DSNWith(standby *Server) string {
	return "host=" + s.dir + "," + standby.dir +
		" user=epitaph dbname=postgres connect_timeout=60 target_session_attrs=read-write"
}

// Execute runs statements, each in a transaction of its own.
func (s *Server) Execute(ctx context.Context, statements ...string) (err error) {
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// Holds waits until a condition of SQL is true.
func (s *Server) Holds(ctx context.Context, condition string) error {
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for deadline := time.Now().Add(startPatience); ; time.Sleep(askEvery) {
		var is bool
		if err := conn.QueryRow(ctx, "SELECT "+condition).Scan(&is); err != nil || is {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it never came true: %s", condition)
		}
	}
}

// CaughtUp waits until a standby has all that the server has confirmed so far.
func (s *Server) CaughtUp(ctx context.Context, standby *Server) error {
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	var reached string
	err = conn.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&reached)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("ask what PostgreSQL has written: %w", err)
	}
	return standby.Holds(ctx, "pg_last_wal_replay_lsn() >= '"+reached+"'")
}

// FallBehind has a standby get no more from its primary.
func (s *Server) FallBehind(ctx context.Context) error {
	if err := s.Execute(ctx, "ALTER SYSTEM SET primary_conninfo = ''",
		"SELECT pg_reload_conf()"); err != nil {
		return err
	}
	return s.Holds(ctx, "NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver)")
}

// Promote makes a primary of a standby.
func (s *Server) Promote(ctx context.Context) error {
	return s.Execute(ctx, "SELECT pg_promote()")
}
