package netconsole

import (
	"fmt"
	"net"
	"net/netip"
)

const (
	// receiveBufferBytes is how much the socket may hold while we are busy: some tens of thousands
	// of datagrams. If net.core.rmem_max is lower and we lack CAP_NET_ADMIN, the kernel gives less.
	receiveBufferBytes = 16 << 20
)

// A datagram is valid until the next receive.
type datagram struct {
	from    netip.AddrPort
	payload []byte
}

// listen opens the UDP socket; without a host it binds to all addresses, IPv4 and IPv6.
func listen(address string) (*net.UDPConn, error) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("read netconsole's address: %w", err)
	}
	conn, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, fmt.Errorf("listen for netconsole: %w", err)
	}
	if err := enlarge(conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("enlarge the buffer of netconsole's socket: %w", err)
	}
	return conn, nil
}
