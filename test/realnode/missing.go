//go:build linux

package realnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// cniPlugins is where Debian has them.
const cniPlugins = "/usr/lib/cni"

// Missing names what a node would lack on this machine, nil if it lacks nothing.
func Missing(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("it misses root, who may run containers")
	}
	programs := []string{"runc", filepath.Join(cniPlugins, "ptp"),
		filepath.Join(cniPlugins, "host-local")}
	if !ownContainerd {
		programs = append(programs, "containerd", "containerd-shim-runc-v2", "ctr")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf(
				"it misses %s (apt-get install containerd runc containernetworking-plugins)",
				program)
		}
	}
	root, err := rootIsMounted()
	if err != nil {
		return fmt.Errorf("it misses the list of mounts: %w", err)
	}
	if !root {
		return errors.New(
			"it misses a root folder that is mounted, which runc needs (chroot: bind-mount it on itself)")
	}
	controllers, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return fmt.Errorf("it misses cgroups: %w", err)
	}
	for _, want := range []string{"memory", "cpu", "cpuset", "pids"} {
		if !strings.Contains(string(controllers), ":"+want) &&
			!strings.Contains(string(controllers), ","+want) {
			return fmt.Errorf(
				"it misses the cgroup controller %s of version 1 (version 2 was not tried)", want)
		}
	}
	cmd := exec.CommandContext(ctx, "true")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("it misses namespaces of its own: %w", err)
	}
	return nil
}

// rootIsMounted tells whether "/" is where something is mounted
// (Documentation/filesystems/proc.rst, 3.5): only such a root can be exchanged (pivot_root(2)) or
// kept from passing mounts on.
func rootIsMounted() (bool, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == "/" {
			return true, nil
		}
	}
	return false, nil
}
