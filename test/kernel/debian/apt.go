package debian

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// QEMU is the program of the package qemu-system-x86.
const QEMU = "qemu-system-x86_64"

// Missing names the first thing without which nothing can be got here; empty if nothing is missing.
func Missing() string {
	for _, program := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + ": this is neither Debian nor Ubuntu"
		}
	}
	return ""
}

// InstallQEMU installs it unless it is there, and returns its path.
func InstallQEMU(ctx context.Context, out io.Writer) (string, error) {
	if path, err := exec.LookPath(QEMU); err == nil {
		return path, nil
	}
	fmt.Fprintln(out, "installing qemu-system-x86")
	if err := refresh(ctx, out); err != nil {
		return "", err
	}
	if _, err := run(ctx, "", "apt-get", "install", "-y", "-q", "--no-install-recommends",
		"qemu-system-x86"); err != nil {
		return "", err
	}
	return exec.LookPath(QEMU)
}

// An apt is the programs of apt with options of their own.
type apt []string

func (a apt) run(ctx context.Context, dir, program string, args ...string) (string, error) {
	return run(ctx, dir, program, append(slices.Clone(a), args...)...)
}

// update reads what there is now: images of containers come without the lists.
func (a apt) update(ctx context.Context, out io.Writer) error {
	fmt.Fprintln(out, "reading the distribution's lists of packages")
	_, err := a.run(ctx, "", "apt-get", "update", "-q")
	return err
}

// refresh reads what this machine's distribution has now.
func refresh(ctx context.Context, out io.Writer) error { return apt(nil).update(ctx, out) }

// archiveKeys are what Debian signs its suites with, the later ones included (package
// debian-archive-keyring).
const archiveKeys = "/usr/share/keyrings/debian-archive-keyring.gpg"

// aptOf is for another suite of the distribution, and keeps its lists in the folder: those of the
// machine stay as they are.
func aptOf(ctx context.Context, out io.Writer, dir, suite string) (apt, error) {
	own, err := codename()
	if err != nil {
		return nil, err
	}
	mirror, err := mirrorOf(ctx, own)
	if err != nil {
		if err := refresh(ctx, out); err != nil {
			return nil, err
		}
		if mirror, err = mirrorOf(ctx, own); err != nil {
			return nil, err
		}
	}
	for _, folder := range []string{"lists/partial", "cache/archives/partial", "parts"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return nil, fmt.Errorf("make a folder for the lists of %s: %w", suite, err)
		}
	}
	sources := filepath.Join(dir, "sources.list")
	line := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", archiveKeys, mirror, suite)
	if err := os.WriteFile(sources, []byte(line), 0o644); err != nil {
		return nil, fmt.Errorf("write the sources of %s: %w", suite, err)
	}
	return apt{
		"-o", "Dir::Etc::sourcelist=" + sources, "-o",
		"Dir::Etc::sourceparts=" + filepath.Join(dir, "parts"),
		"-o", "Dir::State::lists=" + filepath.Join(dir, "lists"), "-o",
		"Dir::Cache=" + filepath.Join(dir, "cache"),
		"-o", "Acquire::Languages=none", "-o",
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
	}, nil
}

// kernels are packages that depend on the newest kernel of their distribution, in the order of
// preference: Debian's for virtual machines, then the ones for every machine of Debian and Ubuntu.
var kernels = []string{"linux-image-cloud-amd64", "linux-image-amd64", "linux-image-generic"}

// kernelPackages are the packages that the newest kernel consists of, as name=version.
func (a apt) kernelPackages(ctx context.Context) ([]string, error) {
	for _, name := range kernels {
		parts, err := a.partsOf(ctx, name)
		if err != nil || len(parts) == 0 {
			continue
		}
		for n, part := range parts {
			version, err := a.versionOf(ctx, part)
			if err != nil {
				return nil, err
			}
			parts[n] = part + "=" + version
		}
		return parts, nil
	}
	return nil, fmt.Errorf("find a kernel: apt knows none of %s", strings.Join(kernels, ", "))
}

// partsOf are the packages with a kernel or its modules that a package depends on, itself not
// included.
func (a apt) partsOf(ctx context.Context, name string) ([]string, error) {
	depends, err := a.run(ctx, "", "apt-cache", "depends", "--no-recommends", "--no-suggests",
		"--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances", name)
	if err != nil {
		return nil, err
	}
	parts := partsIn(depends)
	for _, part := range parts {
		more, err := a.partsOf(ctx, part)
		if err != nil {
			return nil, err
		}
		parts = append(parts, more...)
	}
	slices.Sort(parts)
	return slices.Compact(parts), nil
}

// partNames are how the names of packages with a kernel or its modules begin. An image may be all
// of it, or have its modules, and the kernel itself, in packages that it depends on.
var partNames = regexp.MustCompile(`^linux-(image|binary|modules)-`)

// partsIn reads what apt-cache depends prints.
func partsIn(depends string) (parts []string) {
	for line := range strings.Lines(depends) {
		if _, part, ok := strings.Cut(strings.TrimSpace(line), "Depends: "); ok &&
			partNames.MatchString(part) {
			parts = append(parts, part)
		}
	}
	return parts
}

func (a apt) versionOf(ctx context.Context, name string) (string, error) {
	policy, err := a.run(ctx, "", "apt-cache", "policy", name)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(policy) {
		if version, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate: "); ok {
			return version, nil
		}
	}
	return "", fmt.Errorf("find the version of %s: apt-cache policy names no candidate", name)
}

// run returns what a program prints; an error holds what it complains of.
func run(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("run %s %s: %w\n%s", program, strings.Join(args, " "), err,
			bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}
