//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	// system is where the root of a distribution is mounted, before it becomes the root.
	system = "/system"
	// given is what the test adds to the distribution: it becomes /run.
	given = "/given"
)

// startSystem hands the machine over to the distribution on its disk, as an initramfs does
// (util-linux's switch_root): to systemd. Our program goes on as one of its services.
func startSystem() error {
	if err := errors.Join(loadModules("disk"), loadModules("netconsole"), loadModules("system"),
		loadModules("ramoops"), os.MkdirAll(system, 0o755)); err != nil {
		return err
	}
	if err := unix.Mount("/dev/vda", system, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount the disk: %w", err)
	}
	// systemd leaves alone what is mounted there.
	if err := unix.Mount("run", system+"/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	if err := errors.Join(give(), chooseBus()); err != nil {
		return err
	}
	for _, name := range []string{"/dev", "/proc", "/sys"} {
		if err := unix.Mount(name, system+name, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", name, err)
		}
	}
	if err := errors.Join(unix.Chdir(system), unix.Mount(".", "/", "", unix.MS_MOVE, ""),
		unix.Chroot("."), unix.Chdir("/")); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	return unix.Exec("/sbin/init", []string{"/sbin/init"},
		[]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"})
}

// chooseBus has systemd start dbus-broker, if that is wanted.
func chooseBus() error {
	if os.Getenv("guest_broker") == "" {
		return nil
	}
	return os.Symlink("/lib/systemd/system/dbus-broker.service",
		filepath.Join(system, "run/systemd/system/dbus.service"))
}

// give copies what the test adds.
func give() error {
	return filepath.WalkDir(given, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(system, "run", path[len(given):])
		if entry.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, info.Mode().Perm())
	})
}

// besideKubelet is the argument with which we leave the kubelet's port to a real kubelet.
const besideKubelet = "beside-kubelet"

// serve is what we do as a service of the distribution.
func serve(args []string) error {
	if _, err := sayBoot(); err != nil {
		return err
	}
	if slices.Contains(args, besideKubelet) {
		return takeOrders()
	}
	return answer()
}

// runProgram runs a program of the distribution, which says what it does on the console.
func runProgram(args []string) error {
	if len(args) == 0 {
		return errors.New("no program to run")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	return cmd.Run()
}
