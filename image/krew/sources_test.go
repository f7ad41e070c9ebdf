package krew

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// stub is a checkout whose plugin is one function.
func stub(t *testing.T, function string) (checkout string) {
	t.Helper()
	checkout = t.TempDir()
	writeFile(t, filepath.Join(checkout, "go.mod"), "module example.com/one\n\ngo 1.26.0\n")
	writeFile(t, filepath.Join(checkout, licenseName), "a license\n")
	writeFile(t, filepath.Join(checkout, "cmd", programName, "main.go"),
		"package main\n\nvar version string\n\n"+function+"\n")
	return checkout
}

// copyOfSources has the files that a commit would have, and no repository.
func copyOfSources(t *testing.T, checkout string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "elsewhere")
	list := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others",
		"--exclude-standard")
	list.Dir = checkout
	files, err := list.Output()
	if err != nil {
		t.Fatalf("list the sources: %v", err)
	}
	for name := range strings.Lines(string(files)) {
		name = strings.TrimSpace(name)
		content, err := os.ReadFile(filepath.Join(checkout, name))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(to, name), string(content))
	}
	return to
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
