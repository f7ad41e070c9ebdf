package netconsole

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// maxProbed bounds how many addresses of one node are asked at once.
const maxProbed = 8

// userSpaceAnswers asks the kubelet's port of every address for a TLS ServerHello, and tells
// whether any user space said anything at all. A connection that is accepted, refused or reset says
// nothing: the kernel does that alone, and some do it after their death.
func userSpaceAnswers(ctx context.Context, hosts []netip.Addr, port int,
	timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	hosts = hosts[:min(len(hosts), maxProbed)]
	answers := make(chan bool, len(hosts))
	for _, host := range hosts {
		go func() { answers <- greets(ctx, net.JoinHostPort(host.String(), strconv.Itoa(port))) }()
	}
	answered := false
	for range hosts { // all are waited for: who asks outlives nobody
		if <-answers {
			answered = true
			cancel()
		}
	}
	return answered
}

// greets says hello in TLS and tells whether a single byte came back.
func greets(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	ear := &listeningConn{Conn: conn}
	defer ear.Close()
	// The certificate is not looked at: nothing is sent, and whoever impersonates a kubelet can
	// only keep its node alive.
	//nolint:gosec // see above
	_ = tls.Client(ear, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
	return ear.heard
}

// A listeningConn notes whether anything was ever read from it.
type listeningConn struct {
	net.Conn
	heard bool
}

func (c *listeningConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.heard = c.heard || n > 0
	return n, err
}
