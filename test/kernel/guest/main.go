//go:build linux

// Command guest is the init of the machine whose kernel the tests have panic. It brings up the
// network, has netconsole send, answers with TLS where a kubelet would, and does what it is told on
// a TCP port. It is no Linux distribution: nothing else runs there. What is special about a boot
// comes on the kernel's command line, which init gets as its environment.
package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/epitaph-k8s/epitaph/test/kernel/link"
)

const device = "eth0"

func main() {
	if filepath.Base(os.Args[0]) == "modprobe" {
		modprobe(os.Args[len(os.Args)-1])
	}
	if os.Getpid() != 1 {
		fmt.Println("guest:", serve(os.Args[1:]))
		os.Exit(1)
	}
	fmt.Println("guest:", run())
	// Not to return, and not to block for ever either, which Go's runtime ends: the end of init is
	// a panic that nobody has asked for.
	for {
		_ = unix.Pause()
	}
}

// run returns only if something fails.
func run() error {
	if err := errors.Join(mount("proc", "/proc"), mount("sysfs", "/sys"),
		mount("devtmpfs", "/dev")); err != nil {
		return err
	}
	if err := loadModules("virtio"); err != nil {
		return err
	}
	if err := bringUp(); err != nil {
		return err
	}
	if os.Getenv("guest_system") != "" {
		return startSystem()
	}
	if err := remember(); err != nil {
		return err
	}
	// Without a listener, all of it is left to the agent.
	if os.Getenv("guest_listener") != "" {
		if err := startNetconsole(); err != nil {
			return err
		}
	}
	if err := setPanic(os.Getenv("guest_panic")); err != nil {
		return err
	}
	return answer()
}

// setPanic does as the kubelet on every node (pkg/kubelet/cm/container_manager_linux.go), which has
// a panic end after 10 seconds.
func setPanic(seconds string) error {
	return errors.Join(set("/proc/sys/kernel/panic", seconds),
		set("/proc/sys/kernel/panic_on_oops", "1"))
}

// answer answers where a kubelet does, and obeys.
func answer() error {
	if err := answerTLS(); err != nil {
		return err
	}
	return takeOrders()
}

func takeOrders() error {
	orders, err := net.Listen("tcp", ":9000")
	if err != nil {
		return err
	}
	fmt.Println("guest: ready")
	return obey(orders)
}

func bringUp() error {
	address, err := netip.ParsePrefix(os.Getenv("guest_address"))
	if err != nil {
		return fmt.Errorf("read guest_address: %w", err)
	}
	return link.Add(device, address)
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
