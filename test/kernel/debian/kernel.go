package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// PackagesVariable names .deb files, separated by spaces, to take the kernel from instead of the
// distribution's newest.
const PackagesVariable = "KERNEL_DEBS"

// KernelSuiteVariable names the suite of Debian to take the kernel from, instead of this machine's.
const KernelSuiteVariable = "KERNEL_SUITE"

// A Kernel is an unpacked one.
type Kernel struct {
	// Release is what uname -r says under it.
	Release string
	// Image is the file that boots.
	Image string

	modules string
}

// FetchKernel downloads and unpacks the distribution's newest kernel into the folder, unless it is
// there.
func FetchKernel(ctx context.Context, out io.Writer, cache string) (Kernel, error) {
	if files := strings.Fields(os.Getenv(PackagesVariable)); len(files) > 0 {
		return unpackOnce(ctx, cache, files, func(string) ([]string, error) { return files, nil })
	}
	if suite := os.Getenv(KernelSuiteVariable); suite != "" {
		return FetchKernelOf(ctx, out, cache, suite)
	}
	return apt(nil).fetchKernel(ctx, out, cache)
}

// FetchKernelOf downloads and unpacks the newest kernel of another suite of Debian into the folder,
// unless it is there. What the machine has apt fetch, and from where, stays as it is.
func FetchKernelOf(ctx context.Context, out io.Writer, cache, suite string) (Kernel, error) {
	a, err := aptOf(ctx, out, filepath.Join(cache, "apt-"+suite), suite)
	if err != nil {
		return Kernel{}, err
	}
	return a.fetchKernel(ctx, out, cache)
}

// signingSuite is the oldest of Debian whose kernel has userdata, which carries the agent's token.
const signingSuite = "trixie"

// FetchSigning returns the kernel if its netconsole has userdata (Linux 6.9), or else a newer one
// of Debian's.
func (k Kernel) FetchSigning(ctx context.Context, out io.Writer, cache string) (Kernel, error) {
	if signs, err := k.AtLeast(6, 9); err != nil || signs {
		return k, err
	}
	signing, err := FetchKernelOf(ctx, out, cache, signingSuite)
	if err != nil {
		return Kernel{}, fmt.Errorf("get a kernel that signs, of Debian's %s: %w", signingSuite, err)
	}
	return signing, nil
}

// AtLeast tells whether it is of that version of Linux, or of a later one.
func (k Kernel) AtLeast(major, minor int) (bool, error) {
	var a, b int
	if _, err := fmt.Sscanf(k.Release, "%d.%d", &a, &b); err != nil {
		return false, fmt.Errorf("read the release %q: %w", k.Release, err)
	}
	return a > major || a == major && b >= minor, nil
}

// fetchKernel reads the lists of packages again where they are missing, or so old that what they
// name is not there any more.
func (a apt) fetchKernel(ctx context.Context, out io.Writer, cache string) (Kernel, error) {
	if k, err := a.fetchListed(ctx, out, cache); err == nil {
		return k, nil
	}
	if err := a.update(ctx, out); err != nil {
		return Kernel{}, err
	}
	return a.fetchListed(ctx, out, cache)
}

func (a apt) fetchListed(ctx context.Context, out io.Writer, cache string) (Kernel, error) {
	packages, err := a.kernelPackages(ctx)
	if err != nil {
		return Kernel{}, err
	}
	return unpackOnce(ctx, cache, packages, func(into string) ([]string, error) {
		fmt.Fprintln(out, "downloading", strings.Join(packages, " "))
		if _, err := a.run(ctx, into, "apt-get",
			append([]string{"download", "-q"}, packages...)...); err != nil {
			return nil, err
		}
		return filepath.Glob(filepath.Join(into, "*.deb"))
	})
}

// unpackOnce unpacks the files that get returns, which it may put into the folder that it is given.
func unpackOnce(ctx context.Context, cache string, packages []string,
	get func(into string) ([]string, error)) (Kernel, error) {
	var name strings.Builder
	for _, p := range packages {
		name.WriteString("-" + filepath.Base(p))
	}
	place := filepath.Join(cache, "kernel"+name.String())
	if k, err := kernelIn(place); err == nil {
		return k, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Kernel{}, fmt.Errorf("make the cache directory: %w", err)
	}
	unfinished, err := os.MkdirTemp(cache, ".kernel-")
	if err != nil {
		return Kernel{}, fmt.Errorf("make the kernel's folder: %w", err)
	}
	defer os.RemoveAll(unfinished)
	if err := unpack(ctx, unfinished, get); err != nil {
		return Kernel{}, err
	}
	// Another run may have been faster.
	if err := os.Rename(filepath.Join(unfinished, "root"), place); err != nil &&
		!errors.Is(err, fs.ErrExist) {
		return Kernel{}, fmt.Errorf("put the kernel in its place: %w", err)
	}
	return kernelIn(place)
}

func unpack(ctx context.Context, dir string, get func(into string) ([]string, error)) error {
	files, err := get(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if _, err := run(ctx, "", "dpkg-deb", "-x", file, filepath.Join(dir, "root")); err != nil {
			return err
		}
	}
	_, err = kernelIn(filepath.Join(dir, "root"))
	return err
}

// kernelIn finds the kernel in a root of files.
func kernelIn(root string) (Kernel, error) {
	var images []string
	for _, place := range []string{"boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz"} {
		found, err := filepath.Glob(filepath.Join(root, place))
		if err != nil {
			return Kernel{}, err
		}
		images = append(images, found...)
	}
	if len(images) != 1 {
		return Kernel{}, fmt.Errorf("find the kernel in %s: it holds %d images", root, len(images))
	}
	for _, lib := range []string{"lib", "usr/lib"} {
		modules, err := filepath.Glob(filepath.Join(root, lib, "modules", "*", "kernel"))
		if err == nil && len(modules) == 1 {
			return Kernel{Image: images[0], Release: filepath.Base(filepath.Dir(modules[0])),
				modules: modules[0]}, nil
		}
	}
	return Kernel{}, fmt.Errorf("find the modules in %s: there are not those of one kernel", root)
}
