package configfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// magic is CONFIGFS_MAGIC of include/uapi/linux/magic.h.
const magic = 0x62656570

// Host is the system that the agent runs on.
type Host struct{}

// Mounted implements System.
func (Host) Mounted(path string) (bool, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return false, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(s.Type) == magic, nil //nolint:unconvert // Its width depends on the machine.
}

// Mount implements System. The kernel loads configfs itself.
func (Host) Mount(path string) error { return unix.Mount("configfs", path, "configfs", 0, "") }

// Load makes the kernel start the host's modprobe, which knows where the host keeps its modules,
// how they are compressed and what they need; a container does not. For a process with
// CAP_SYS_MODULE the kernel looks for a module when it is asked for a device that does not exist
// (dev_load of net/core/dev_ioctl.c).
func (Host) Load(module string) error {
	if err := mayLoad(); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	request, err := unix.NewIfreq(module)
	if err != nil {
		return errors.Join(fmt.Errorf("name the module: %w", err), unix.Close(fd))
	}
	// There is no such device, and the kernel says so; configfs shows whether the module is there
	// now.
	_ = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
	return unix.Close(fd)
}

// mayLoad checks for CAP_SYS_MODULE: without it the kernel would silently not look for a module.
func mayLoad() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	if sets[0].Effective&(1<<unix.CAP_SYS_MODULE) == 0 {
		return unix.EPERM
	}
	return nil
}
