package netconsole

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/epitaph-k8s/epitaph/internal/guard"
)

// maxProbed bounds how many addresses of one node are probed at once.
const maxProbed = 8

// userSpaceAnswers asks the kubelet's port of every address for a TLS ServerHello, and reports
// whether user space sent anything at all. An accepted, refused or reset connection means nothing:
// the kernel does that alone, and some kernels do it even after their death.
func userSpaceAnswers(ctx context.Context, hosts []netip.Addr, port int, timeout time.Duration,
	g *guard.Guard) (answered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	hosts = hosts[:min(len(hosts), maxProbed)]
	type reply struct {
		answered bool
		err      error
	}
	replies := make(chan reply, len(hosts))
	for _, host := range hosts {
		go func() {
			var r reply
			r.err = g.Do("probe", func() error {
				r.answered = greets(ctx, net.JoinHostPort(host.String(), strconv.Itoa(port)))
				return nil
			})
			replies <- r
		}()
	}
	for range hosts { // wait for all: no probe outlives its caller
		r := <-replies
		err = errors.Join(err, r.err)
		if r.answered {
			answered = true
			cancel()
		}
	}
	return answered, err
}

// greets sends a TLS ClientHello and reports whether a single byte came back.
func greets(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	noting := &notingConn{Conn: conn}
	defer noting.Close()
	// The certificate is not verified: nothing is sent, and whoever impersonates a kubelet can only
	// keep its node alive.
	//nolint:gosec // see above
	_ = tls.Client(noting, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
	return noting.heard
}

// A notingConn notes whether anything was ever read from it.
type notingConn struct {
	net.Conn
	heard bool
}

func (c *notingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.heard = c.heard || n > 0
	return n, err
}
