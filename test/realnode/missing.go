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
	for _, program := range []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc", filepath.Join(cniPlugins, "ptp"), filepath.Join(cniPlugins, "host-local")} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("it misses %s (apt-get install containerd runc containernetworking-plugins)", program)
		}
	}
	controllers, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return fmt.Errorf("it misses cgroups: %w", err)
	}
	for _, want := range []string{"memory", "cpu", "cpuset", "pids"} {
		if !strings.Contains(string(controllers), ":"+want) && !strings.Contains(string(controllers), ","+want) {
			return fmt.Errorf("it misses the cgroup controller %s of version 1 (version 2 was not tried)", want)
		}
	}
	cmd := exec.CommandContext(ctx, "true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("it misses namespaces of its own: %w", err)
	}
	return nil
}
