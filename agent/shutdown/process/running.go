package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxProcesses bounds how many are examined.
const maxProcesses = 1 << 16

// sysBoot is CAP_SYS_BOOT: whoever has it may switch the machine off. Root in a container lacks it.
const sysBoot = 22

// starters are the names of programs that ask systemd itself.
var starters = append([]string{"systemctl", "init", "telinit"}, programs...)

// Running returns the origins of processes whose command line asks for a shutdown and that may
// switch the machine off: anybody may call a program reboot, but this one has to be root's. It
// examines the latest first: they may be about to end.
func (p Proc) Running(ctx context.Context) (all []Origin, err error) {
	pids, err := p.pids()
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	for _, pid := range slices.Backward(pids) {
		if ctx.Err() != nil {
			return all, fmt.Errorf("look for processes: %w", ctx.Err())
		}
		if !p.mayAsk(pid) {
			continue
		}
		if o, err := p.Of(ctx, pid); err == nil && o.Verb != "" {
			all = append(all, o)
		}
	}
	return all, nil
}

func (p Proc) pids() (pids []int, err error) {
	dir, err := os.Open(p.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxProcesses)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// mayAsk reports whether a process exists, has such a name, and has the power.
func (p Proc) mayAsk(pid int) bool {
	status, err := p.file(pid, "status")
	if err != nil {
		return false
	}
	found, err := readStatus(status)
	return err == nil && slices.Contains(starters, found.name) && found.effective == 0 &&
		found.capabilities>>sysBoot&1 == 1 && p.isSystemctl(pid)
}

// isSystemctl reports whether a process runs the program that all those names are links to. If we
// may not know, it counts as such.
func (p Proc) isSystemctl(pid int) bool {
	program, err := os.Readlink(filepath.Join(p.dir, strconv.Itoa(pid), "exe"))
	return err != nil || path.Base(strings.TrimSuffix(program, " (deleted)")) == "systemctl"
}
