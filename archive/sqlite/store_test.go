package sqlite_test

import (
	"path/filepath"
	"sync"
	"testing"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "an archive?%23.db") // a name is no part of a URL
	s, err := sqlite.Open(t.Context(), path, clocktesting.NewFakePassiveClock(storetest.Now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	storetest.Run(t, s)
	if found, err := filepath.Glob(filepath.Dir(path) + "/an archive*.db"); err != nil || len(found) != 1 {
		t.Errorf("the file has another name: %v", found)
	}
}

// A process that starts while the old one still runs finds what that one has made.
func TestOpenedTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "archive.db")
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			s, err := sqlite.Open(t.Context(), path, clocktesting.NewFakePassiveClock(storetest.Now))
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	wait.Wait()
}
