package sandbox

import "syscall"

// childAttributes has the kernel kill the child when we die, even of SIGKILL.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
