package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/epitaph-k8s/epitaph/agent/fault"
)

// enotsupp is the kernel's own ENOTSUPP (include/linux/errno.h), which user space has no name for:
// netpoll returns it for a driver without polling.
const enotsupp = syscall.Errno(524)

const asRoot = "run the agent as root, with /sys/kernel/config mounted read-write and no AppArmor profile that forbids writing to /sys"

// refused turns a file's error into a fault.
func refused(what string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.New(fault.NoPermission, err, what, asRoot)
	case errors.Is(err, syscall.ENOSPC):
		return fault.New(fault.TargetRefused, err, what,
			"the kernel takes no more userdata for a target")
	default:
		return fault.New(fault.TargetRefused, err, what,
			"the kernel's log says why (dmesg | grep netconsole)")
	}
}

// notEnabled explains why netpoll refuses a target (netpoll_setup of net/core/netpoll.c).
func notEnabled(t Target, err error) error {
	what := fmt.Sprintf("enable netconsole on device %s", t.Device)
	switch {
	case errors.Is(err, syscall.EBUSY):
		return fault.New(fault.UnsuitableDevice, err, what,
			"the device belongs to a bond, a bridge or a VRF, and netconsole needs the one above it: give that one the route to the listener")
	case errors.Is(err, enotsupp), errors.Is(err, syscall.EOPNOTSUPP):
		return fault.New(fault.UnsuitableDevice, err, what,
			"its driver cannot send from a dying kernel (no netpoll): give a device with another driver the route to the listener")
	case errors.Is(err, syscall.ENODEV):
		return fault.New(fault.UnsuitableDevice, err, what,
			"the kernel does not see it: run the agent in the network namespace of the host (hostNetwork: true)")
	case errors.Is(err, syscall.EDESTADDRREQ), errors.Is(err, syscall.EADDRNOTAVAIL):
		return fault.New(fault.UnsuitableDevice, err, what,
			"the device has no address of the listener's family: give it one")
	default:
		return refused(what, err)
	}
}
