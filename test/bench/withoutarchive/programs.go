package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// programs are the files of the program as it is and without the archive.
type programs struct{ dir, with, without string }

func (p programs) remove() { _ = os.RemoveAll(p.dir) }

// noArchive stands for the command of the archive, which alone imports the databases.
const noArchive = `package main

import "github.com/spf13/cobra"

func archiveCommand() *cobra.Command { return &cobra.Command{Use: "archive"} }
`

// build builds both.
func build(ctx context.Context, out io.Writer) (p programs, err error) {
	if p.dir, err = os.MkdirTemp("", "epitaph-without-archive-"); err != nil {
		return p, fmt.Errorf("make a folder for the programs: %w", err)
	}
	p.with = filepath.Join(p.dir, "epitaph")
	p.without = filepath.Join(p.dir, "epitaph-without-archive")
	overlay, err := overlaid(p.dir)
	if err == nil {
		err = errors.Join(binaries.Stripped(ctx, out, "epitaph", "", p.with),
			binaries.Stripped(ctx, out, "epitaph", overlay, p.without))
	}
	if err != nil {
		p.remove()
	}
	return p, err
}

// overlaid writes the file of `go build -overlay` that leaves the archive out.
func overlaid(dir string) (string, error) {
	checkout, err := binaries.Checkout()
	if err != nil {
		return "", err
	}
	all, err := filepath.Glob(filepath.Join(checkout, "cmd", "epitaph", "archive*.go"))
	if err != nil || len(all) == 0 {
		return "", fmt.Errorf("find the files of the archive's command: there are %d: %w", len(all),
			err)
	}
	replaced := map[string]string{}
	for _, file := range all {
		replaced[file] = "" // as if it were not there
	}
	instead := filepath.Join(dir, "archive.go")
	replaced[all[0]] = instead
	text, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	for name, content := range map[string][]byte{instead: []byte(noArchive), overlay: text} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return "", fmt.Errorf("write the overlay: %w", err)
		}
	}
	return overlay, nil
}

// replace puts a copy of a program into the place of another one, which does not run.
func replace(old, program string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("read a program: %w", err)
	}
	if err := os.Remove(old); err != nil {
		return fmt.Errorf("remove the program before: %w", err)
	}
	if err := os.WriteFile(old, content, 0o700); err != nil {
		return fmt.Errorf("put a program into its place: %w", err)
	}
	return nil
}
