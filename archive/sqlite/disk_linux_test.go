package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	enlarge := storetest.SmallDisk(t, dir, uint32(os.Getuid()))
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "archive.db"),
		clocktesting.NewFakePassiveClock(storetest.Now))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	storetest.Full(t, s, enlarge)
}
