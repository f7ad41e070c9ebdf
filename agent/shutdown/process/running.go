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

// maxProcesses bounds how many are looked at.
const maxProcesses = 1 << 16

// sysBoot is CAP_SYS_BOOT: whoever has it may switch the machine off. A container's root has not.
const sysBoot = 22

// starters are the names of programs that ask systemd itself.
var starters = append([]string{"systemctl", "init", "telinit"}, programs...)

// Running are the processes that ask for a shutdown by their command line, and may switch the machine off: anybody may call a program
// reboot, but this one has to be root's.
func (p Proc) Running(ctx context.Context) (pids []int, err error) {
	dir, err := os.Open(p.dir)
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxProcesses)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return pids, fmt.Errorf("look for processes: %w", ctx.Err())
		}
		if pid, err := strconv.Atoi(name); err == nil && p.asks(ctx, pid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func (p Proc) asks(ctx context.Context, pid int) bool {
	status, err := p.file(pid, "status")
	if err != nil {
		return false // It has ended.
	}
	found, err := readStatus(status)
	if err != nil || !slices.Contains(starters, found.name) || found.effective != 0 || found.capabilities>>sysBoot&1 == 0 || !p.isSystemctl(pid) {
		return false
	}
	args, err := p.args(ctx, pid)
	verb, _ := verbOf(args)
	return err == nil && verb != ""
}

// isSystemctl tells whether a process runs the program that all those names are links to. Where that may not be known, it may be.
func (p Proc) isSystemctl(pid int) bool {
	program, err := os.Readlink(filepath.Join(p.dir, strconv.Itoa(pid), "exe"))
	return err != nil || path.Base(strings.TrimSuffix(program, " (deleted)")) == "systemctl"
}
