package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// HoldPort binds a UDP port on all addresses, and reads nothing from it.
func HoldPort(ctx context.Context, port int) (io.Closer, error) {
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// Keep nothing of what others send there.
		return c.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 0)
		})
	}}
	conn, err := small.ListenPacket(ctx, "udp", ":"+strconv.Itoa(port))
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// SetConsoleLevel sets which lines the kernel sends to consoles. It needs CAP_SYSLOG, but no
// writable /proc.
func SetConsoleLevel(level int) error {
	text, err := os.ReadFile("/proc/sys/kernel/printk")
	if err != nil {
		return err
	}
	if now, _, _ := strings.Cut(string(text), "\t"); now == strconv.Itoa(level) {
		return nil
	}
	// The level is passed as the length of a buffer (syslog(2)).
	_, err = unix.Klogctl(unix.SYSLOG_ACTION_CONSOLE_LEVEL, make([]byte, level))
	return err
}

// Uptime returns how long the kernel has been running, by the clock of its log, which does not
// count time in suspend.
func Uptime() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, fmt.Errorf("read the kernel's uptime: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// Machine returns the boot ID and the release of the running kernel.
func Machine() (bootID, release string, err error) {
	boot, errBoot := os.ReadFile("/proc/sys/kernel/random/boot_id")
	kernel, errKernel := os.ReadFile("/proc/sys/kernel/osrelease")
	if err := errors.Join(errBoot, errKernel); err != nil {
		return "", "", fmt.Errorf("read the kernel's release: %w", err)
	}
	return strings.TrimSpace(string(boot)), strings.TrimSpace(string(kernel)), nil
}

// maxLogBytes bounds the kernel's log; its buffer is smaller unless somebody has asked for more.
const maxLogBytes = 4 << 20

// KernelLog reads what is left of the kernel's log, with a level before each line. It needs
// CAP_SYSLOG, where kernel.dmesg_restrict is set or the runtime's seccomp profile is the default.
func KernelLog() (string, error) {
	size, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil)
	if err != nil {
		return "", fmt.Errorf("read the kernel's log (CAP_SYSLOG): %w", err)
	}
	log := make([]byte, min(size, maxLogBytes))
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, log)
	if err != nil {
		return "", fmt.Errorf("read the kernel's log (CAP_SYSLOG): %w", err)
	}
	return string(log[:n]), nil
}
