package process

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Proc is where the kernel's /proc is.
type Proc string

// maxFile bounds each file that is read.
const maxFile = 16 << 10

// maxProcesses bounds how many are looked at.
const maxProcesses = 1 << 16

type process struct {
	name   string
	args   []string
	parent int
	uid    uint32
	login  *uint32
	cgroup string
}

func (p Proc) file(pid int, name string) (string, error) {
	f, err := os.Open(filepath.Join(string(p), strconv.Itoa(pid), name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile))
	return string(content), err
}

func (p Proc) read(pid int) (found process, err error) {
	status, err := p.file(pid, "status")
	if err != nil {
		return found, err
	}
	if found.name, found.parent, found.uid, err = readStatus(status); err != nil {
		return found, err
	}
	args, err := p.file(pid, "cmdline")
	if err != nil {
		return found, err
	}
	found.args = strings.Split(strings.TrimRight(args, "\x00"), "\x00")
	// A kernel without audit has no login UIDs, and one without cgroups none of those.
	login, errLogin := p.file(pid, "loginuid")
	if errLogin == nil {
		found.login = loginOf(login)
	}
	cgroup, errCgroup := p.file(pid, "cgroup")
	if errCgroup == nil {
		found.cgroup = cgroupOf(cgroup)
	}
	return found, nil
}

// readStatus reads /proc/PID/status (man 5 proc).
func readStatus(status string) (name string, parent int, uid uint32, err error) {
	seen := 0
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":\t")
		switch key {
		case "Name":
			name, seen = value, seen+1
		case "PPid":
			parent, err = strconv.Atoi(value)
			seen++
		case "Uid":
			real, _, _ := strings.Cut(value, "\t")
			var n uint64
			n, err = strconv.ParseUint(real, 10, 32)
			uid, seen = uint32(n), seen+1
		}
		if err != nil {
			return "", 0, 0, fmt.Errorf("read %s: %w", key, err)
		}
	}
	if seen != 3 {
		return "", 0, 0, errors.New("its status lacks a name, a parent or a user")
	}
	return name, parent, uid, nil
}

// loginOf is nil where nobody has logged in: the kernel says -1.
func loginOf(text string) *uint32 {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	if err != nil || n == math.MaxUint32 {
		return nil
	}
	login := uint32(n)
	return &login
}

// cgroupOf is the path in systemd's hierarchy (man 7 cgroups).
func cgroupOf(text string) string {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && (parts[0] == "0" || parts[1] == "name=systemd") {
			return parts[2]
		}
	}
	return ""
}

// Running are the processes whose command line asks for a shutdown.
func (p Proc) Running() (pids []int, err error) {
	dir, err := os.Open(string(p))
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxProcesses)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		args, err := p.file(pid, "cmdline")
		if err != nil {
			continue // It has ended.
		}
		if verb, _ := verbOf(strings.Split(args, "\x00")); verb != "" {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
