package postgres_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	server "github.com/epitaph-k8s/epitaph/test/postgres"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

// The records are on a disk of their own: on a full one for its log, PostgreSQL ends, which is
// TestServerIsKilled.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)
	of := filepath.Dir(s.LogPath()) // which the server's user may enter
	info, err := os.Stat(of)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(of, "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	enlarge := storetest.SmallDisk(t, dir, info.Sys().(*syscall.Stat_t).Uid)
	conn, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", dir),
		"ALTER ROLE CURRENT_USER SET default_tablespace = small",
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	storetest.Full(t, opened(t, s.DSN()), enlarge)
}
