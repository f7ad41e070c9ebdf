//go:build !linux || !(amd64 || arm64)

package netconsole

import "net"

// bufferBytes is more than any kernel sends in one datagram (1000 bytes), so that a longer one is
// noticed.
const bufferBytes = 2048

// A receiver reads datagrams from a socket one by one, which is enough for development.
type receiver struct {
	conn   *net.UDPConn
	buffer [bufferBytes]byte
	out    [1]datagram
}

func newReceiver(conn *net.UDPConn) (*receiver, error) { return &receiver{conn: conn}, nil }

func (r *receiver) receive() ([]datagram, error) {
	n, from, err := r.conn.ReadFromUDPAddrPort(r.buffer[:])
	if err != nil {
		return nil, err
	}
	r.out[0] = datagram{from: from, payload: r.buffer[:n]}
	return r.out[:], nil
}

func enlarge(conn *net.UDPConn) error { return conn.SetReadBuffer(receiveBufferBytes) }

// drops is unknown here.
func drops(*net.UDPConn) float64 { return 0 }
