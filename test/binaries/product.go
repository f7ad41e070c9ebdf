package binaries

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Product builds one of this checkout's own commands as it is now, and copies it to the path: the
// copy stays what it is when the next build replaces the original, under a process that may be
// restarted from it.
//
// It is built with Go's default flags, those of `go test`, so that both share what they compile.
func Product(ctx context.Context, out io.Writer, command, to string) error {
	return ProductVersion(ctx, out, command, "", to)
}

// ProductVersion is Product with a version stamped in, as in a release; "" leaves it out.
func ProductVersion(ctx context.Context, out io.Writer, command, version, to string) error {
	c := compilation{name: command, out: out, packages: []string{"./cmd/" + command}}
	if version != "" {
		c.flags = []string{"-ldflags", "-X main.version=" + version}
	}
	return c.ofCheckout(ctx, ".", command+version, to)
}

// Stripped is Product as a release links it: without what debuggers read. overlay is a file of
// `go build -overlay` that replaces some of its sources; "" replaces none.
func Stripped(ctx context.Context, out io.Writer, command, overlay, to string) error {
	c := compilation{name: command, out: out, packages: []string{"./cmd/" + command},
		flags: []string{"-ldflags", "-s -w"}}
	name := command + "-stripped"
	if overlay != "" {
		c.flags = append(c.flags, "-overlay", overlay)
		name += "-overlaid"
	}
	return c.ofCheckout(ctx, ".", name, to)
}

// Cloud is Product for the program that asks the clouds. It is a module of its own, built with the
// flags with which that is checked.
func Cloud(ctx context.Context, out io.Writer, to string) error {
	const name = "epitaph-cloud"
	return compilation{name: name, out: out, packages: []string{"."},
		env: []string{"CGO_ENABLED=0", "GOFLAGS=-trimpath"}}.ofCheckout(ctx, "cloud", name, to)
}

// ofCheckout builds a program of this checkout's module in dir, and copies it.
func (c compilation) ofCheckout(ctx context.Context, dir, name, to string) error {
	if err := goOnPath(); err != nil {
		return err
	}
	checkout, err := Checkout()
	if err != nil {
		return err
	}
	cache, err := CacheDir()
	if err != nil {
		return err
	}
	c.module = filepath.Join(checkout, dir)
	// One place for each checkout: there, go finds that nothing has changed, and does not link
	// again.
	place := sha256.Sum256([]byte(checkout))
	built := filepath.Join(cache, "checkout-"+hex.EncodeToString(place[:])[:keyLength], name)
	unlock, err := lock(ctx, built+".lock", c.out)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.run(ctx, built); err != nil {
		return err
	}
	return copyProgram(built, to)
}

func copyProgram(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", to, err)
	}
	program, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read the built program: %w", err)
	}
	if err := os.WriteFile(to, program, 0o755); err != nil {
		return fmt.Errorf("copy the built program: %w", err)
	}
	return nil
}
