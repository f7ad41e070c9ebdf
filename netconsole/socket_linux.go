//go:build linux && (amd64 || arm64)

package netconsole

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batch is how many messages one system call receives.
	batch = 16
	// messageBytes is the size of one message's buffer: the kernel joins datagrams of one sender
	// and one size into a message of up to 64 KiB (UDP_GRO).
	messageBytes = 64 << 10
	// joined is how many datagrams it joins: UDP_MAX_SEGMENTS of include/linux/udp.h.
	joined = 128
	// controlBytes is room for one control message with an int.
	controlBytes = 24
)

// mmsghdr is struct mmsghdr of recvmmsg(2), which x/sys/unix does not have.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

// A receiver reads datagrams from a socket in batches, into memory that it allocates once.
type receiver struct {
	raw      syscall.RawConn
	read     func(fd uintptr) bool
	headers  [batch]mmsghdr
	vectors  [batch]unix.Iovec
	names    [batch]unix.RawSockaddrInet6
	controls [batch][controlBytes]byte
	buffers  [batch][messageBytes]byte
	out      []datagram
	received int
	errno    syscall.Errno
}

func newReceiver(conn *net.UDPConn) (*receiver, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("reach netconsole's socket: %w", err)
	}
	r := &receiver{raw: raw, out: make([]datagram, 0, batch*joined)}
	for n := range r.headers {
		r.vectors[n].Base = &r.buffers[n][0]
		r.vectors[n].SetLen(messageBytes)
		r.headers[n].header.Iov = &r.vectors[n]
		r.headers[n].header.SetIovlen(1)
		r.headers[n].header.Name = (*byte)(unsafe.Pointer(&r.names[n]))
		r.headers[n].header.Control = &r.controls[n][0]
	}
	r.read = r.recvmmsg
	// A kernel before 5.0 delivers datagrams one by one, which costs time and nothing else.
	return r, raw.Control(
		func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) })
}

// receive waits for datagrams and returns those that are there.
func (r *receiver) receive() ([]datagram, error) {
	if err := r.raw.Read(r.read); err != nil {
		return nil, err
	}
	if r.errno != 0 {
		return nil, os.NewSyscallError("recvmmsg", r.errno)
	}
	r.out = r.out[:0]
	for n := range r.received {
		message := r.buffers[n][:min(r.headers[n].length, messageBytes)]
		r.split(message, r.segment(n), addressOf(&r.names[n]))
	}
	return r.out, nil
}

// split splits a message into the datagrams that were joined into it. All have one size, except
// that the last may be shorter.
func (r *receiver) split(message []byte, size int, from netip.AddrPort) {
	for size > 0 && len(message) > size {
		r.out = append(r.out, datagram{from: from, payload: message[:size]})
		message = message[size:]
	}
	r.out = append(r.out, datagram{from: from, payload: message})
}

// segment returns the size of the datagrams that were joined into the nth message; 0 if it is a
// single one.
func (r *receiver) segment(n int) int {
	control := r.controls[n][:min(r.headers[n].header.Controllen, controlBytes)]
	if len(control) < unix.CmsgLen(4) {
		return 0
	}
	header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	if header.Level != unix.IPPROTO_UDP || header.Type != unix.UDP_GRO {
		return 0
	}
	return int(*(*int32)(unsafe.Pointer(&control[unix.CmsgLen(0)])))
}

// recvmmsg reports whether it is done; if not, it is called again when there is something to read.
func (r *receiver) recvmmsg(fd uintptr) bool {
	for n := range r.headers {
		r.headers[n].header.Namelen = uint32(unsafe.Sizeof(r.names[n]))
		r.headers[n].header.SetControllen(controlBytes)
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers[0])),
		batch, unix.MSG_DONTWAIT, 0, 0)
	r.received, r.errno = int(n), errno
	if errno != 0 {
		r.received = 0
	}
	return errno != unix.EAGAIN && errno != unix.EINTR
}

func addressOf(name *unix.RawSockaddrInet6) netip.AddrPort {
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), bigEndian(v4.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), bigEndian(name.Port))
}

// bigEndian converts a port from network byte order. Both architectures that this file is for are
// little-endian.
func bigEndian(port uint16) uint16 { return port<<8 | port>>8 }

// enlarge sets the socket's buffer beyond net.core.rmem_max if we may.
func enlarge(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE,
			receiveBufferBytes)
	})
	if err == nil && refused == nil {
		return nil
	}
	return conn.SetReadBuffer(receiveBufferBytes)
}

// drops returns how many datagrams the kernel dropped because the buffer was full; 0 if the kernel
// does not say.
func drops(conn *net.UDPConn) float64 {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	// include/uapi/linux/sock_diag.h: SK_MEMINFO_DROPS is the last of SK_MEMINFO_VARS.
	const meminfoDrops, meminfoVars = 8, 9
	var info [meminfoVars]uint32
	size := uint32(unsafe.Sizeof(info))
	err = raw.Control(func(fd uintptr) {
		_, _, _ = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err != nil {
		return 0
	}
	return float64(info[meminfoDrops])
}
