// Package postgres runs the distribution's PostgreSQL for tests and benchmarks: a server with files
// of its own, reached by a socket of its own. It never runs as root, which PostgreSQL refuses.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrMissing says that the machine has no PostgreSQL.
var ErrMissing = errors.New("PostgreSQL is missing: initdb and postgres, as in Debian's package postgresql-15")

// ForTest starts a server that ends with the test. Where there is no PostgreSQL, the test is
// skipped.
func ForTest(t testing.TB) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{})
	if errors.Is(err, ErrMissing) {
		t.Skip("SKIPPED: PostgreSQL's initdb is missing: run make testtools")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

const (
	// startPatience is how long a server may take until it answers: it may have to recover, and a
	// killed one's children may still hold its files.
	startPatience = 3 * time.Minute
	askEvery      = 50 * time.Millisecond
)

// A Server is a PostgreSQL server.
type Server struct {
	dir, bin string
	// unsafe are the settings that make a test fast and do not survive a crash of the machine.
	unsafe   bool
	settings map[string]string
	who      *syscall.Credential

	cmd   *exec.Cmd
	ended chan struct{}
}

// Options are how a server runs.
type Options struct {
	// Durable writes to the disk what it confirms. Without it, a crash of the machine may lose it,
	// a crash of the server does not.
	Durable bool
	// Settings are further ones, as in the server's configuration file.
	Settings map[string]string
}

// Start makes a database and serves it. Stop removes it.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, unsafe: !o.Durable, settings: o.Settings}
	return s, s.begin(ctx, "initdb", "--pgdata=data", "--username=epitaph", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
}

// begin makes the server's files with a program, and serves them.
func (s *Server) begin(ctx context.Context, program string, args ...string) (err error) {
	if s.dir, err = os.MkdirTemp("", "epitaph-postgres-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := s.init(ctx, program, args...); err != nil {
		_ = os.RemoveAll(s.dir)
		return err
	}
	if err := s.Restart(ctx); err != nil {
		s.Stop()
		return err
	}
	return nil
}

// programs returns the folder of the newest PostgreSQL.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		path, err := exec.LookPath("initdb")
		if err != nil {
			return "", ErrMissing
		}
		return filepath.Dir(path), nil
	}
	return filepath.Dir(slices.Max(found)), nil
}

func (s *Server) init(ctx context.Context, program string, args ...string) error {
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			return fmt.Errorf("find a user for PostgreSQL: %w", err)
		}
		uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
		if err != nil {
			return fmt.Errorf("find a user for PostgreSQL: %w", err)
		}
		gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
		if err != nil {
			return fmt.Errorf("find a user for PostgreSQL: %w", err)
		}
		s.who = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(s.dir, int(uid), int(gid)); err != nil {
			return fmt.Errorf("hand the folder to PostgreSQL: %w", err)
		}
	}
	if out, err := s.command(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(out))
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// LogPath is the file with what the server says.
func (s *Server) LogPath() string { return filepath.Join(s.dir, "log") }

// DSN is the connection string of the database.
func (s *Server) DSN() string {
	return "host=" + s.dir + " user=epitaph dbname=postgres connect_timeout=60"
}

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = attributes(s.who)
	return cmd
}

// Restart starts the server after it was killed, and waits until it answers.
func (s *Server) Restart(ctx context.Context) error {
	deadline := time.Now().Add(startPatience)
	for {
		if err := s.run(); err != nil {
			return err
		}
		err := s.answers(ctx, deadline)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		s.Kill() // what the killed one left over is in its way
		time.Sleep(askEvery)
	}
}

func (s *Server) answers(ctx context.Context, deadline time.Time) error {
	for {
		conn, err := pgx.Connect(ctx, s.DSN())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.ended:
			return fmt.Errorf("PostgreSQL ended: see %s", s.LogPath())
		default:
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		}
		time.Sleep(askEvery)
	}
}

func (s *Server) run() error {
	args := []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c",
		"max_connections=50", "-c", "shared_buffers=64MB"}
	if s.unsafe {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	for name, value := range s.settings {
		args = append(args, "-c", name+"="+value)
	}
	log, err := os.OpenFile(s.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open PostgreSQL's log: %w", err)
	}
	cmd := s.command(context.Background(), "postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	started := make(chan error)
	ended := make(chan struct{})
	go func() {
		// The kernel kills it when the thread ends that has started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { _ = log.Close() }()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	s.cmd, s.ended = cmd, ended
	return nil
}

// Size returns how many bytes the database has on the disk.
func (s *Server) Size(ctx context.Context) (bytes int64, err error) {
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		return 0, fmt.Errorf("ask for the size of the database: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if err := conn.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&bytes); err != nil {
		return 0, fmt.Errorf("ask for the size of the database: %w", err)
	}
	return bytes, nil
}

// Kill ends the server with SIGKILL.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// Stop ends the server, and removes its files.
func (s *Server) Stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // at once: nothing of it is kept
		select {
		case <-s.ended:
		case <-time.After(10 * time.Second):
			s.Kill()
		}
	}
	_ = os.RemoveAll(s.dir)
}
