package wire

import (
	"bytes"
	"strconv"
)

const (
	// callersRelease is the first major version of Linux whose cpu= and taskname= are those of the
	// task that printed the message; before it they are those of the task that sent it (Linux 7.0
	// kernel/printk/printk.c, CONFIG_PRINTK_EXECUTION_CTX; drivers/net/netconsole.c).
	callersRelease = 7
	// maxTaskBytes is the longest name of a task (TASK_COMM_LEN of include/linux/sched.h, less the
	// terminating NUL).
	maxTaskBytes = 15
)

// Caller returns the task that printed the message and the CPU it ran on. It needs both in the
// target's sysdata, and a kernel of callersRelease or later. A task chooses its own name, so the
// name proves nothing.
func (r *Record) Caller() (task string, cpu uint16, ok bool) {
	name, hasName := r.Value("taskname")
	number, hasNumber := r.Value("cpu")
	if !hasName || !hasNumber || len(name) == 0 || len(name) > maxTaskBytes ||
		r.major() < callersRelease {
		return "", 0, false
	}
	n, err := strconv.ParseUint(string(number), 10, 16)
	if err != nil {
		return "", 0, false
	}
	return string(name), uint16(n), true
}

// major returns the first number of the kernel's release; 0 if the message does not have it.
func (r *Record) major() uint64 {
	release := r.Release
	if len(release) == 0 {
		release, _ = r.Value("release")
	}
	first, _, _ := bytes.Cut(release, []byte{'.'})
	n, err := strconv.ParseUint(string(first), 10, 16)
	if err != nil {
		return 0
	}
	return n
}
