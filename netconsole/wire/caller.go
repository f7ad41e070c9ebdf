package wire

import (
	"bytes"
	"strconv"
)

const (
	// callersRelease is the first major version of Linux whose cpu= and taskname= are those of
	// whoever printed the message; before it they are those of whoever sent it (Linux 7.0
	// kernel/printk/printk.c, CONFIG_PRINTK_EXECUTION_CTX; drivers/net/netconsole.c).
	callersRelease = 7
	// maxTaskBytes is the length of a task's name (TASK_COMM_LEN of include/linux/sched.h, less its
	// end).
	maxTaskBytes = 15
)

// Caller is the task that printed the message and the CPU that it did so on, where the target's
// sysdata has both and the kernel is one that says whose they are. The name of a task is its own
// choice, and proves nothing.
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

// major is the first number of the kernel's release, 0 where the message does not say it.
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
