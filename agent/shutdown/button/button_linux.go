package button

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The group's names, and the attribute that holds an event (include/linux/acpi.h,
// drivers/acpi/event.c).
const (
	family, group  = "acpi_event", "acpi_mc_group"
	attributeEvent = 1
	// classBytes is the length of the device's class, with which an event begins; a class is
	// terminated by a NUL.
	classBytes = 20
)

// The lengths of the headers of netlink, generic netlink and an attribute.
const (
	headers         = unix.NLMSG_HDRLEN + unix.GENL_HDRLEN
	attributeHeader = 4
	maxMessage      = 4 << 10
)

// Listen calls pressed for each press until the context ends.
func Listen(ctx context.Context, pressed func()) error {
	f, err := open()
	if err != nil {
		return fmt.Errorf("listen to the power button: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = f.Close() })()
	for buffer := make([]byte, maxMessage); ; {
		n, fromKernel, err := receive(f, buffer)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // Messages were lost; others follow.
		case err != nil:
			_ = f.Close()
			return fmt.Errorf("listen to the power button: %w", err)
		case fromKernel && isPress(buffer[:n]):
			pressed()
		}
	}
}

func open() (*os.File, error) {
	acpi, err := netlink.GenlFamilyGet(family)
	if err != nil {
		return nil, fmt.Errorf("find the kernel's %s: %w", family, err)
	}
	for _, g := range acpi.Groups {
		if g.Name == group {
			return join(g.ID)
		}
	}
	return nil, fmt.Errorf("the kernel's %s has no %s", family, group)
}

func join(id uint32) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK,
		unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(id))
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), family), nil
}

func receive(f *os.File, buffer []byte) (n int, fromKernel bool, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var from unix.Sockaddr
	errRead := raw.Read(func(fd uintptr) bool {
		n, from, err = unix.Recvfrom(int(fd), buffer, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	sender, ok := from.(*unix.SockaddrNetlink)
	return n, ok && sender.Pid == 0, errors.Join(errRead, err)
}

// isPress reports whether a message of the group is a press.
func isPress(message []byte) bool {
	if len(message) < headers {
		return false
	}
	for rest := message[headers:]; len(rest) >= attributeHeader; {
		length, kind := int(binary.NativeEndian.Uint16(rest)), binary.NativeEndian.Uint16(rest[2:])
		if length < attributeHeader || length > len(rest) {
			return false
		}
		if value := rest[attributeHeader:length]; kind == attributeEvent &&
			len(value) >= classBytes {
			class, _, _ := bytes.Cut(value[:classBytes], []byte{0})
			return string(class) == "button/power"
		}
		rest = rest[min(len(rest), (length+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
	}
	return false
}
