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
		// What others send there is not kept.
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

// SetConsoleLevel sets which lines the kernel sends to consoles. It needs CAP_SYSLOG, and no
// writable /proc.
func SetConsoleLevel(level int) error {
	text, err := os.ReadFile("/proc/sys/kernel/printk")
	if err != nil {
		return err
	}
	if now, _, _ := strings.Cut(string(text), "\t"); now == strconv.Itoa(level) {
		return nil
	}
	// The level is given as the length of a buffer (syslog(2)).
	_, err = unix.Klogctl(unix.SYSLOG_ACTION_CONSOLE_LEVEL, make([]byte, level))
	return err
}

// Uptime is how long the kernel runs, by the clock of its log: time in which the machine is
// suspended is not counted.
func Uptime() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, fmt.Errorf("ask the kernel how long it runs: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// Machine is what the running kernel says of itself.
func Machine() (bootID, release string, err error) {
	boot, errBoot := os.ReadFile("/proc/sys/kernel/random/boot_id")
	kernel, errKernel := os.ReadFile("/proc/sys/kernel/osrelease")
	if err := errors.Join(errBoot, errKernel); err != nil {
		return "", "", fmt.Errorf("ask the kernel who it is: %w", err)
	}
	return strings.TrimSpace(string(boot)), strings.TrimSpace(string(kernel)), nil
}
