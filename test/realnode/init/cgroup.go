//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// removeLimit is how long the kernel may take to see that a cgroup has no process any more.
const removeLimit = 10 * time.Second

// A hierarchy is a mounted cgroup filesystem, and where in it this process is.
type hierarchy struct {
	parent string // the cgroup of this process
	own    string // the node's
}

// hierarchies are all of version 1, each with this machine's controllers.
type hierarchies []hierarchy

// makeCgroups makes a cgroup for the node below that of this process, in each hierarchy. Those that
// it made are returned with an error, too.
func makeCgroups(name string) (all hierarchies, err error) {
	mounts, err := cgroupMounts()
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		h := hierarchy{parent: filepath.Join(m.at, m.own)}
		h.own = filepath.Join(h.parent, name)
		if err := os.Mkdir(h.own, 0o755); err != nil {
			return all, fmt.Errorf("make the node's cgroup: %w", err)
		}
		all = append(all, h)
		if err := h.inheritCPUs(); err != nil {
			return all, err
		}
	}
	if len(all) == 0 {
		return nil, errors.New("make the node's cgroup: no hierarchy of version 1 is mounted")
	}
	return all, nil
}

// inheritCPUs gives a cpuset what its parent has: a new one is empty, and takes no process.
func (h hierarchy) inheritCPUs() error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(h.parent, file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another hierarchy
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(h.own, file), value, 0)
		}
		if err != nil {
			return fmt.Errorf("give the node its processors: %w", err)
		}
	}
	return nil
}

// enter moves this process into the node's cgroups, leave back out of them.
func (all hierarchies) enter() error {
	return all.move(func(h hierarchy) string { return h.own })
}

func (all hierarchies) leave() error {
	return all.move(func(h hierarchy) string { return h.parent })
}

func (all hierarchies) move(to func(hierarchy) string) error {
	self := []byte(strconv.Itoa(os.Getpid()))
	for _, h := range all {
		if err := os.WriteFile(filepath.Join(to(h), "cgroup.procs"), self, 0); err != nil {
			return fmt.Errorf("move into the cgroup: %w", err)
		}
	}
	return nil
}

// remove removes the node's cgroups, and those that the kubelet and the runtime made in them.
func (all hierarchies) remove() error {
	var failed error
	for _, h := range all {
		for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			err := removeTree(h.own)
			if err == nil {
				break
			}
			if time.Since(began) > removeLimit {
				failed = errors.Join(failed, fmt.Errorf("remove the node's cgroup: %w", err))
				break
			}
		}
	}
	return failed
}

// removeTree removes a cgroup from the leaves up. The files in it are the kernel's.
func removeTree(at string) error {
	var dirs []string
	err := filepath.WalkDir(at, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range slices.Backward(dirs) {
		if removed := os.Remove(dir); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
			return removed
		}
	}
	return err
}

// ownCgroups tells, for each hierarchy of version 1, in which cgroup this process is (man 7
// cgroups, "/proc/[pid]/cgroup").
func ownCgroups() (map[string]string, error) {
	content, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mine := map[string]string{}
	for line := range strings.Lines(string(content)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) == 3 && parts[1] != "" {
			mine[parts[1]] = parts[2]
		}
	}
	return mine, nil
}

// A cgroupMount is where a hierarchy is mounted, and where in it this process is.
type cgroupMount struct{ options, at, own string }

// cgroupMounts are the mounts of version 1 below /sys/fs/cgroup.
func cgroupMounts() (mounts []cgroupMount, err error) {
	mine, err := ownCgroups()
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(content)) {
		// … root mount-point options … - type source super-options (man 5 proc).
		before, after, _ := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(rest) < 3 || rest[0] != "cgroup" ||
			!strings.HasPrefix(fields[4], "/sys/fs/cgroup/") {
			continue
		}
		for options, own := range mine {
			if containsAll(strings.Split(rest[2], ","), strings.Split(options, ",")) {
				mounts = append(mounts, cgroupMount{options: options, at: fields[4], own: own})
			}
		}
	}
	return mounts, nil
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}
