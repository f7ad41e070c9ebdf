//go:build unix && !linux

package sandbox

import "syscall"

// childAttributes cannot tie the child's life to ours here: after a SIGKILL of ours it lives on.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
