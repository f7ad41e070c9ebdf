// Package gobuild compiles Epitaph's programs for others' machines.
//
// Invariant: the same sources and the same Go give the same bytes, wherever they are compiled.
//
// What this package does not do: pack anything. What becomes of a program (an image, an archive) is
// its caller's business.
package gobuild

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// A Program is everything that decides what is compiled, but for the Go toolchain.
type Program struct {
	// Checkout is the folder of the sources, or of a nested module in it, and Package the program's
	// path there, such as ./cmd/epitaph.
	Checkout, Package string
	// Version is stamped into the program.
	Version string
	// OS and Arch are what Go calls GOOS and GOARCH.
	OS, Arch string
}

// Compile returns the program. Nothing of the machine goes in: no path (-trimpath), no C library,
// and no state of the checkout, which differs between a clone and a tarball of the same sources;
// the version is stamped instead.
func (p Program) Compile(ctx context.Context) ([]byte, error) {
	name := path.Base(p.Package)
	if name == "." {
		name = filepath.Base(p.Checkout)
	}
	dir, err := os.MkdirTemp("", "epitaph-build-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	defer os.RemoveAll(dir)
	into := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags", "-s -w -X main.version="+p.Version, "-o", into, p.Package)
	cmd.Dir = p.Checkout
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOOS="+p.OS,
		"GOARCH="+p.Arch,
		// Those that a machine may have set for its own processor.
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s for %s/%s: %w\n%s", name, p.OS, p.Arch, err,
			strings.TrimSpace(string(said)))
	}
	program, err := os.ReadFile(into)
	if err != nil {
		return nil, fmt.Errorf("read the built program: %w", err)
	}
	return program, nil
}
