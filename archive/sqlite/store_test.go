package sqlite_test

import (
	"path/filepath"
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
