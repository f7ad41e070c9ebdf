//go:build linux

// Package link sets up network devices by ioctl, for an init that has no other program, and for a
// network namespace on a machine that may lack iproute2.
//
// What this package does not do: set routes. An address brings that of its own network.
package link

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Tap makes a network device whose other end is the file, for as long as that is open.
func Tap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make the device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Up switches the device on.
func Up(name string) error {
	return ioctl(unix.AF_INET, name, func(fd int, request *unix.Ifreq) error {
		request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
	})
}

// Down switches the device off.
func Down(name string) error {
	return ioctl(unix.AF_INET, name, func(fd int, request *unix.Ifreq) error {
		request.SetUint16(0)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
	})
}

// Add switches the device on and gives it the address, which can be used at once.
func Add(name string, address netip.Prefix) error {
	// Otherwise an IPv6 address is tried out for a second first.
	dad := "/proc/sys/net/ipv6/conf/" + name + "/accept_dad"
	if err := os.WriteFile(dad, []byte("0"), 0); err != nil {
		return fmt.Errorf("switch duplicate address detection of %s off: %w", name, err)
	}
	if address.Addr().Is4() {
		if err := addIPv4(name, address); err != nil {
			return err
		}
	}
	if err := Up(name); err != nil {
		return err
	}
	if address.Addr().Is6() {
		return addIPv6(name, address)
	}
	return nil
}

// Own makes every address of an IPv4 network this machine's: that of an alias of the loopback
// device is local as a whole. The number tells aliases apart.
func Own(number int, network netip.Prefix) error {
	return addIPv4(fmt.Sprintf("lo:%d", number), network)
}

func addIPv4(name string, address netip.Prefix) error {
	return ioctl(unix.AF_INET, name, func(fd int, request *unix.Ifreq) error {
		if err := request.SetInet4Addr(address.Addr().AsSlice()); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, request); err != nil {
			return err
		}
		if err := request.SetInet4Addr(net.CIDRMask(address.Bits(), 32)); err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, unix.SIOCSIFNETMASK, request)
	})
}

// addIPv6 uses struct in6_ifreq of linux/ipv6.h, which x/sys does not have.
func addIPv6(name string, address netip.Prefix) error {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	request := struct {
		address [16]byte
		bits    uint32
		index   int32
	}{address.Addr().As16(), uint32(address.Bits()), int32(device.Index)}
	return ioctl(unix.AF_INET6, name, func(fd int, _ *unix.Ifreq) error {
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR,
			uintptr(unsafe.Pointer(&request))); e != 0 {
			return e
		}
		return nil
	})
}

func ioctl(family int, name string, do func(fd int, request *unix.Ifreq) error) error {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket for %s: %w", name, err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("name the device %s: %w", name, err)
	}
	if err := do(fd, request); err != nil {
		return fmt.Errorf("set up %s: %w", name, err)
	}
	return nil
}
