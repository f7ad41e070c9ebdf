package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOneSandboxForACheckout(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sandbox")
	first, err := claimFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claimFolder(dir); err == nil ||
		!strings.HasPrefix(err.Error(), "a sandbox of this checkout is up already (") {
		t.Errorf("a second claim: %v, want a refusal", err)
	}
	first.release()
	second, err := claimFolder(dir)
	if err != nil {
		t.Fatalf("a claim after the first is released: %v", err)
	}
	second.release()
}

func TestDescriptionOfAKilledSandboxIsForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stale := filepath.Join(dir, "sandbox.json")
	if err := os.WriteFile(stale, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := claimFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.release)
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stale description is still there: %v", err)
	}
}

func TestUsageErrorsNameTheMistake(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"usage: name a command":                                  nil,
		`usage: there is no command "down"`:                      {"down"},
		`usage: there is no group "helm"`:                        {"build", "helm"},
		"usage: -nodes: 0 nodes: between 1 and 254 are possible": {"up", "-nodes", "0"},
		"usage: flag provided but not defined: -bogus":           {"up", "-bogus"},
		`usage: up takes no arguments, and was given "node-1"`:   {"up", "node-1"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), t.Output(), args)
			if !errors.Is(err, errUsage) || err.Error() != want {
				t.Errorf("error = %v, want %s", err, want)
			}
		})
	}
}
