package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A recipe is everything that decides what the image is, but for the Go toolchain.
type recipe struct {
	checkout, version string
	platforms         []v1.Platform
}

// compile builds the program for a platform. Nothing of the machine goes in: no path (-trimpath), no C library, and no state of
// the checkout, which differs between a clone and a tarball of the same sources; the version is stamped instead.
func (r recipe) compile(ctx context.Context, p v1.Platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "epitaph-image-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	defer os.RemoveAll(dir)
	into := filepath.Join(dir, "epitaph")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags", "-s -w -X main.version="+r.version, "-o", into, "./cmd/epitaph")
	cmd.Dir = r.checkout
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOOS="+p.OS, "GOARCH="+p.Architecture,
		// Those that a machine may have set for its own processor.
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build epitaph for %s: %w\n%s", p, err, strings.TrimSpace(string(said)))
	}
	program, err := os.ReadFile(into)
	if err != nil {
		return nil, fmt.Errorf("read the built program: %w", err)
	}
	return program, nil
}
