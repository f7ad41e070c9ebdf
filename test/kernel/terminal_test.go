//go:build linux

package kernel

import (
	"context"
	"testing"

	"github.com/epitaph-k8s/epitaph/test/kernel/machine"
)

// A terminal is a serial line at which somebody is logged in.
type terminal struct{ *machine.Terminal }

func openTerminal(t *testing.T, socket string) terminal {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	x, err := machine.OpenTerminal(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return terminal{x}
}

func (x terminal) sees(t *testing.T, words string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), agentPatience)
	defer cancel()
	if err := x.Sees(ctx, words, 1); err != nil {
		t.Fatal(err)
	}
}

func (x terminal) types(t *testing.T, command string) {
	t.Helper()
	if err := x.Type(command); err != nil {
		t.Fatal(err)
	}
}
