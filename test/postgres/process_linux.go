package postgres

import "syscall"

// attributes has the kernel kill the child when we die, even of SIGKILL.
func attributes(who *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: who}
}
