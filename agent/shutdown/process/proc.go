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

// Proc is the kernel's /proc.
type Proc struct {
	dir string
	// waiting bounds how many command lines are waited for.
	waiting chan struct{}
}

// maxWaiting is the size of waiting.
const maxWaiting = 16

// New returns the /proc at a path.
func New(dir string) Proc { return Proc{dir: dir, waiting: make(chan struct{}, maxWaiting)} }

// maxFile bounds what is read of a file, in bytes.
const maxFile = 16 << 10

type process struct {
	name   string
	parent int
	// uid is the real one, and effective the one it acts as, with these capabilities.
	uid, effective uint32
	capabilities   uint64
	login          *uint32
	cgroup         string
}

func (p Proc) file(pid int, name string) (string, error) {
	f, err := os.Open(filepath.Join(p.dir, strconv.Itoa(pid), name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile))
	return string(content), err
}

// read returns what the kernel knows of a process without reading the process's memory, which the
// process may hold back.
func (p Proc) read(pid int) (found process, err error) {
	status, err := p.file(pid, "status")
	if err != nil {
		return found, err
	}
	if found, err = readStatus(status); err != nil {
		return found, err
	}
	// A kernel may lack audit, and so login UIDs, or cgroups.
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
func readStatus(status string) (found process, err error) {
	seen := 0
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":\t")
		switch key {
		case "Name":
			found.name, seen = value, seen+1
		case "PPid":
			found.parent, err = strconv.Atoi(value)
			seen++
		case "Uid":
			_, err = fmt.Sscanf(value, "%d\t%d", &found.uid, &found.effective)
			seen++
		case "CapEff":
			found.capabilities, err = strconv.ParseUint(value, 16, 64)
		}
		if err != nil {
			return found, fmt.Errorf("read %s: %w", key, err)
		}
	}
	if seen != 3 {
		return found, errors.New("its status lacks a name, a parent or a user")
	}
	return found, nil
}

// loginOf returns nil if nobody has logged in: the kernel says -1.
func loginOf(text string) *uint32 {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	if err != nil || n == math.MaxUint32 {
		return nil
	}
	login := uint32(n)
	return &login
}

// cgroupOf returns the path in systemd's hierarchy (man 7 cgroups).
func cgroupOf(text string) string {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && (parts[0] == "0" || parts[1] == "name=systemd") {
			return parts[2]
		}
	}
	return ""
}
