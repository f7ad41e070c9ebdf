//go:build linux

// Command guest is the init of the machine whose kernel the tests have panic. It brings up the network, has netconsole send,
// answers with TLS where a kubelet would, and does what it is told on a TCP port. It is no Linux distribution: nothing else
// runs there. What is special about a boot comes on the kernel's command line, which init gets as its environment.
package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const device = "eth0"

func main() {
	if err := run(); err != nil {
		fmt.Println("guest:", err)
	}
	// Not to return, and not to block for ever either, which Go's runtime ends: the end of init is a panic that nobody has
	// asked for.
	for {
		_ = unix.Pause()
	}
}

func run() error {
	if err := errors.Join(mount("proc", "/proc"), mount("sysfs", "/sys"), mount("devtmpfs", "/dev")); err != nil {
		return err
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	if err := mount("configfs", "/sys/kernel/config"); err != nil {
		return err
	}
	if err := bringUp(os.Getenv("guest_address")); err != nil {
		return err
	}
	if err := startNetconsole(); err != nil {
		return err
	}
	if err := set("/proc/sys/kernel/panic", os.Getenv("guest_panic")); err != nil {
		return err
	}
	if err := answerTLS(); err != nil {
		return err
	}
	fmt.Println("guest: ready")
	return obey()
}

func mount(kind, at string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	// The kernel may have mounted devtmpfs already.
	if err := unix.Mount(kind, at, kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s: %w", at, err)
	}
	return nil
}

func set(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
