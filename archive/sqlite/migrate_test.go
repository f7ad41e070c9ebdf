package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

// manyTimes is how often those who migrate at once meet: they meet at another step each time.
const manyTimes = 10

// A process that starts while others do, or while the old one still runs, finds what those have
// made.
func TestOpenedAtOnce(t *testing.T) {
	t.Parallel()
	for range manyTimes {
		path := filepath.Join(t.TempDir(), "archive.db")
		storetest.OpenedAtOnce(t, 3, func() (*sqlite.Store, error) {
			return sqlite.Open(t.Context(), path, clocktesting.NewFakePassiveClock(storetest.Now))
		})
	}
}

// So does one that finds an archive of the oldest schema, with records in it. It is read on, and has
// the fingerprints of its nodes.
func TestOldestArchive(t *testing.T) {
	t.Parallel()
	for range manyTimes {
		path := filepath.Join(t.TempDir(), "archive.db")
		oldest(t, path)
		open := func() (*sqlite.Store, error) {
			return sqlite.Open(t.Context(), path, clocktesting.NewFakePassiveClock(storetest.Now))
		}
		storetest.OpenedAtOnce(t, 3, open)
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		storetest.After(t, s)
		s.Close()
	}
}

// oldest makes an archive of the first migration.
func oldest(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	p, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations"),
		goose.WithTableName("schema_versions"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	storetest.Before(t, func(statement string) error {
		_, err := db.ExecContext(t.Context(), statement)
		return err
	}, "1764590400000000")
}
