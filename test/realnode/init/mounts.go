//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/epitaph-k8s/epitaph/test/realnode/plan"
)

// kernelSettings are what the kubelet wants of the machine
// (pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables). It finds them as it wants them,
// and sets nothing.
var kernelSettings = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// ownFolders of the machine are empty ones of the node's, in memory.
var ownFolders = []string{"/var", "/run"}

// mountAll makes of this process's mounts those of a node.
func mountAll(p plan.Plan) error {
	// Nothing from here on reaches the rest of the machine.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to itself: %w", err)
	}
	if err := mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	for _, step := range []func(plan.Plan) error{mountFolders, hideSettings, hideConfigfs,
		mountCgroups} {
		if err := step(p); err != nil {
			return err
		}
	}
	// Containers may have mounts that reach the node's programs, and the other way round.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts with containers: %w", err)
	}
	return nil
}

// mountFolders hides the machine's /var and /run, but for what the node was given that lies there.
func mountFolders(p plan.Plan) error {
	given := append([]string{p.Dir, p.Logs, filepath.Dir(p.Kubelet)}, p.Images...)
	open := map[string]*os.File{}
	for _, path := range given {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		open[path] = file
	}
	for _, folder := range ownFolders {
		if err := mount("tmpfs", folder, "tmpfs", 0, "mode=755"); err != nil {
			return err
		}
	}
	for _, folder := range []string{"/var/lib/cni", "/var/log/pods", "/var/log/containers",
		"/var/tmp", plan.ContainerdRoot, plan.KubeletRoot, plan.StaticPods, "/run/containerd"} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	for path, file := range open {
		if err := keep(path, file); err != nil {
			return err
		}
	}
	return nil
}

// keep mounts what is open at its path, if that is hidden.
func keep(path string, file *os.File) error {
	if !slices.ContainsFunc(ownFolders,
		func(f string) bool { return strings.HasPrefix(path, f+"/") }) {
		return nil
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(path, 0o755)
	} else {
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644))
	}
	if err != nil {
		return err
	}
	return bind(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), path)
}

func hideSettings(p plan.Plan) error {
	for name, value := range kernelSettings {
		file := filepath.Join(p.Dir, strings.ReplaceAll(name, "/", "."))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := bind(file, "/proc/sys/"+name); err != nil {
			return err
		}
	}
	return nil
}

// hideConfigfs hides what no namespace has of its own: netconsole's targets would be this
// machine's.
func hideConfigfs(plan.Plan) error {
	const path = "/sys/kernel/config"
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return mount("tmpfs", path, "tmpfs", unix.MS_RDONLY, "")
}

// mountCgroups mounts each hierarchy anew: as seen from this process's cgroup namespace. The others
// are unmounted; the runtime takes the last one that it finds.
func mountCgroups(plan.Plan) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	if err := unmountCgroups(); err != nil {
		return err
	}
	if err := mount("tmpfs", "/sys/fs/cgroup", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC,
		"mode=755"); err != nil {
		return err
	}
	for _, m := range mounts {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := mount("cgroup", m.at, "cgroup", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC,
			m.options); err != nil {
			return err
		}
	}
	return nil
}

// unmountCgroups takes every cgroup filesystem away, wherever it is.
func unmountCgroups() error {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(content)) {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !strings.HasPrefix(after, "cgroup") || len(fields) < 5 ||
			strings.HasPrefix(fields[4], "/sys/fs/cgroup/") {
			continue
		}
		if err := unix.Unmount(fields[4], unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", fields[4], err)
		}
	}
	// With everything that is mounted in it.
	if err := unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount /sys/fs/cgroup: %w", err)
	}
	return nil
}

func bind(from, to string) error { return mount(from, to, "", unix.MS_BIND|unix.MS_REC, "") }

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, target, err)
	}
	return nil
}
