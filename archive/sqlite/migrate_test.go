package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

// An archive of before fingerprints is read on, and has those of its nodes.
func TestArchiveOfBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "archive.db")
	open := func() *sqlite.Store {
		s, err := sqlite.Open(t.Context(), path, clocktesting.NewFakePassiveClock(storetest.Now))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	open().Close()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	storetest.Before(t, func(statement string) error {
		_, err := db.ExecContext(t.Context(), statement)
		return err
	}, "1764590400000000")
	s := open()
	defer s.Close()
	storetest.After(t, s)
}
