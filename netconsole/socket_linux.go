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

// batch is how many datagrams one system call takes. Beyond some sixty the call itself costs next to nothing.
const batch = 64

// mmsghdr is struct mmsghdr of recvmmsg(2), which x/sys/unix does not have.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

// A receiver takes datagrams off a socket in batches, into memory that it allocates once.
type receiver struct {
	raw      syscall.RawConn
	read     func(fd uintptr) bool
	headers  [batch]mmsghdr
	vectors  [batch]unix.Iovec
	names    [batch]unix.RawSockaddrInet6
	buffers  [batch][bufferBytes]byte
	out      [batch]datagram
	received int
	errno    syscall.Errno
}

func newReceiver(conn *net.UDPConn) (*receiver, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("reach netconsole's socket: %w", err)
	}
	r := &receiver{raw: raw}
	for n := range r.headers {
		r.vectors[n].Base = &r.buffers[n][0]
		r.vectors[n].SetLen(bufferBytes)
		r.headers[n].header.Iov = &r.vectors[n]
		r.headers[n].header.SetIovlen(1)
		r.headers[n].header.Name = (*byte)(unsafe.Pointer(&r.names[n]))
	}
	r.read = r.recvmmsg
	return r, nil
}

// receive waits for datagrams and returns those that are there.
func (r *receiver) receive() ([]datagram, error) {
	if err := r.raw.Read(r.read); err != nil {
		return nil, err
	}
	if r.errno != 0 {
		return nil, os.NewSyscallError("recvmmsg", r.errno)
	}
	for n := range r.received {
		r.out[n] = datagram{from: addressOf(&r.names[n]), payload: r.buffers[n][:min(r.headers[n].length, bufferBytes)]}
	}
	return r.out[:r.received], nil
}

// recvmmsg tells whether it is done; otherwise it is called again when there is something to read.
func (r *receiver) recvmmsg(fd uintptr) bool {
	for n := range r.headers {
		r.headers[n].header.Namelen = uint32(unsafe.Sizeof(r.names[n]))
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers[0])), batch, unix.MSG_DONTWAIT, 0, 0)
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

// bigEndian reads a port that is in the byte order of the network. Both architectures that this file is for are little-endian.
func bigEndian(port uint16) uint16 { return port<<8 | port>>8 }

// enlarge sets the socket's buffer beyond net.core.rmem_max if we may.
func enlarge(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBufferBytes)
	})
	if err == nil && refused == nil {
		return nil
	}
	return conn.SetReadBuffer(receiveBufferBytes)
}

// drops is how many datagrams the kernel dropped because the buffer was full; 0 where it does not tell.
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
