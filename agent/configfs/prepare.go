package configfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/epitaph-k8s/epitaph/agent/fault"
)

// A System can make a configfs with netconsole in it available.
type System interface {
	// Mounted reports whether a configfs is mounted at path.
	Mounted(path string) (bool, error)
	Mount(path string) error
	// Load makes the kernel load a module. It does not report a missing module; that shows later.
	Load(module string) error
}

const (
	subsystem = "netconsole"
	// hostPath is where the host mounts its configfs, whatever a container calls it (configfs_init
	// of fs/configfs/mount.c).
	hostPath = "/sys/kernel/config"
	mountIt  = "mount it on the host (mount -t configfs configfs " + hostPath + ")"
	loadIt   = "load it on the host (modprobe netconsole; at each boot: echo netconsole > /etc/modules-load.d/netconsole.conf), in a kernel that has CONFIG_NETCONSOLE_DYNAMIC"
)

// Prepare returns the directory of netconsole's targets in the configfs at path, and makes sure
// that it exists: it mounts configfs if need be, and loads the module if need be and load is set.
func Prepare(path string, load bool, s System) (Directory, error) {
	mounted, err := s.Mounted(path)
	if errors.Is(err, fs.ErrNotExist) && load {
		// The mount point comes with the module configfs, which netconsole needs and modprobe loads
		// with it.
		if err := s.Load(subsystem); err != nil {
			return "", unloaded(err)
		}
		mounted, err = s.Mounted(path)
	}
	if err != nil {
		return "", fault.New(fault.NoConfigfs, err, "look for a configfs at "+path,
			"the kernel needs CONFIG_CONFIGFS_FS (modprobe configfs), and a container needs the host's "+hostPath+" there")
	}
	if !mounted {
		if err := s.Mount(path); err != nil {
			return "", unmounted(path, err)
		}
	}
	dir := Directory(path + "/" + subsystem)
	if there(dir) {
		return dir, nil
	}
	if !load {
		return "", fault.New(fault.NoModule, nil,
			"the kernel module netconsole is not loaded, and agent.loadModule is off", loadIt)
	}
	if err := s.Load(subsystem); err != nil {
		return "", unloaded(err)
	}
	if !there(dir) {
		return "", fault.New(fault.NoModule, nil,
			"the kernel has no module netconsole, or its modprobe did not find it", loadIt)
	}
	return dir, nil
}

func there(dir Directory) bool {
	info, err := os.Stat(string(dir))
	return err == nil && info.IsDir()
}

func unmounted(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.NoPermission, err, "mount configfs at "+path,
			mountIt+", or give the agent CAP_SYS_ADMIN")
	case errors.Is(err, syscall.ENODEV):
		return fault.New(fault.NoConfigfs, err, "mount configfs at "+path,
			"the kernel has none: it needs CONFIG_CONFIGFS_FS (modprobe configfs)")
	default:
		return fault.New(fault.NoConfigfs, err, "mount configfs at "+path, mountIt)
	}
}

func unloaded(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fault.New(fault.NoPermission, err,
			"load the kernel module netconsole", loadIt+", or give the agent CAP_SYS_MODULE")
	}
	return fault.New(fault.NoModule, err, "load the kernel module netconsole", loadIt)
}
