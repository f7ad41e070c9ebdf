package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]int64{
		"1073741824\n": 966367638, "max\n": 0, "": 0, "0\n": 0, "-1\n": 0, "1Gi\n": 0,
		"99999999999999999999\n": 0,
	} {
		file := filepath.Join(t.TempDir(), "memory.max")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, ok := memoryLimit(file); got != want || ok != (want != 0) {
			t.Errorf("a limit of %q makes %d (%v), want %d", content, got, ok, want)
		}
	}
	if got, ok := memoryLimit(filepath.Join(t.TempDir(), "none")); ok {
		t.Errorf("no file makes %d", got)
	}
}
