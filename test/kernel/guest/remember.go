//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// memory is a folder that outlives a boot, where the machine has a disk.
const memory = "/var/lib/epitaph"

// remember has the kernel keep its end in memory that outlives a reset, and the machine a disk, if
// the test wants them: their modules are there then, and the parameters of the one with commas
// between.
func remember() error {
	bootID, err := sayBoot()
	if err != nil {
		return err
	}
	if os.Getenv("guest_ramoops") == "" {
		return nil
	}
	if err := errors.Join(loadModules("disk"), loadModules("ramoops"), loadModules("watchdog"),
		mount("pstore", "/sys/fs/pstore"), os.MkdirAll(memory, 0o755)); err != nil {
		return err
	}
	if err := unix.Mount("/dev/vda", memory, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount the disk: %w", err)
	}
	// As the unit of docs/agent.md does.
	return os.WriteFile(filepath.Join(memory, "begun"), bootID, 0o644)
}

// sayBoot says on the console which boot this is.
func sayBoot() (bootID []byte, err error) {
	if bootID, err = os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		fmt.Println("guest: boot", strings.TrimSpace(string(bootID)))
	}
	return bootID, err
}

// reboot goes down in good order, which is noted.
func reboot() error {
	bootID, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(memory, "ended"), bootID, 0o644); err != nil {
		return err
	}
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// put writes a file that need not be there.
func put(path, content string) error { return os.WriteFile(path, []byte(content), 0o600) }

// survive has a thread of another process die of an oops, which the machine lives on after.
func survive() error {
	if err := set("/proc/sys/kernel/panic_on_oops", "0"); err != nil {
		return err
	}
	victim := exec.Command("/sbin/modprobe", "broken")
	if err := victim.Start(); err != nil {
		return err
	}
	defer func() { _ = victim.Process.Kill() }()
	for range 100 {
		time.Sleep(100 * time.Millisecond)
		taint, err := os.ReadFile("/proc/sys/kernel/tainted")
		if err != nil {
			return err
		}
		// TAINT_DIE of include/linux/panic.h.
		const died = 1 << 7
		if n, err := strconv.Atoi(strings.TrimSpace(string(taint))); err != nil || n&died != 0 {
			return err
		}
	}
	return errors.New("wait for the oops: the kernel tells of none")
}
