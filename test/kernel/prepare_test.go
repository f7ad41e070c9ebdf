//go:build linux

package kernel

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/kernel/debian"
	"github.com/epitaph-k8s/epitaph/test/kernel/firstroot"
	"github.com/epitaph-k8s/epitaph/test/kernel/initramfs"
	"github.com/epitaph-k8s/epitaph/test/kernel/link"
	"github.com/epitaph-k8s/epitaph/test/kernel/module"
)

// A fetched is what others have made.
type fetched struct {
	qemu   string
	kernel debian.Kernel
}

// fetch installs and downloads, unless it has done so before.
func fetch(ctx context.Context, out io.Writer) (f fetched, err error) {
	if f.qemu, err = debian.InstallQEMU(ctx, out); err != nil {
		return f, err
	}
	cache, err := binaries.CacheDir()
	if err != nil {
		return f, err
	}
	f.kernel, err = debian.FetchKernel(ctx, out, cache)
	return f, err
}

// A prepared is what the test in the namespace is told.
type prepared struct {
	QEMU, Kernel, Initramfs, Release string
}

const preparedFile = "prepared.json"

// prepare builds, or finds in the caches, everything that the test uses.
func (f fetched) prepare(ctx context.Context, out io.Writer, dir string) error {
	p := prepared{QEMU: f.qemu, Kernel: f.kernel.Image, Release: f.kernel.Release,
		Initramfs: filepath.Join(dir, "initramfs")}
	if err := writeInitramfs(ctx, f.kernel, p.Initramfs); err != nil {
		return err
	}
	// The sandbox builds these itself, but not in a namespace that nothing can be downloaded from.
	if _, err := binaries.Ensure(ctx, out, binaries.ControlPlane, binaries.Tools); err != nil {
		return err
	}
	if err := binaries.Product(ctx, out, "epitaph", filepath.Join(dir, "epitaph")); err != nil {
		return err
	}
	content, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, preparedFile), content, 0o644)
}

func readPrepared(dir string) (p prepared, err error) {
	content, err := os.ReadFile(filepath.Join(dir, preparedFile))
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(content, &p)
}

// begin is what every test does first in the network namespace.
func begin(t *testing.T, dir string) prepared {
	t.Helper()
	p, err := readPrepared(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kernel %s", p.Release)
	if err := link.Up("lo"); err != nil {
		t.Fatal(err)
	}
	return p
}

// writeInitramfs packs our init, and the modules without which a kernel knows neither network card
// nor netconsole.
func writeInitramfs(ctx context.Context, k debian.Kernel, to string, more ...initramfs.File) error {
	netconsole, err := firstroot.Modules(ctx, k, "netconsole", "configfs", "netconsole")
	if err != nil {
		return err
	}
	// The one that is broken is any that needs no other.
	victims, err := k.Modules(ctx, "dummy")
	if err != nil {
		return err
	}
	if len(victims) != 1 {
		return fmt.Errorf("find a module to break: dummy and what it needs are %d modules",
			len(victims))
	}
	broken, err := module.Break(victims[0].Content)
	if err != nil {
		return err
	}
	init, err := buildStatic(ctx, filepath.Join(filepath.Dir(to), "init"), "./guest")
	if err != nil {
		return err
	}
	files, err := firstroot.Files(ctx, k, init)
	if err != nil {
		return err
	}
	files = slices.Concat(files, netconsole,
		[]initramfs.File{firstroot.Text("broken.ko", broken)}, more)
	return os.WriteFile(to, initramfs.Pack(files), 0o644)
}

// buildStatic builds a program that needs no library of the system.
func buildStatic(ctx context.Context, to, pkg string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s for the guest: %w\n%s", pkg, err, said)
	}
	return os.ReadFile(to)
}
