package logind_test

import (
	"bytes"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
)

// Tests end what they start: a goroutine that outlives its component is a fault.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// When Close returns, nothing reads from the bus any more. goleak waits for goroutines that are
// about to end, so this is checked here, without a wait, and often. Not in parallel with other
// tests, which have buses of their own.
func TestCloseJoinsTheReaders(t *testing.T) {
	socket := aBus(t)
	before := goleak.IgnoreCurrent()
	for range 50 {
		b, err := logind.Connect(t.Context(), socket)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for _, reader := range []string{"(*Bus).sort", "(*client).read"} {
			if bytes.Contains(stacks, []byte("logind."+reader)) {
				t.Fatalf("%s still reads:\n%s", reader, stacks)
			}
		}
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
