package netconsole

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

const probeLimit = 200 * time.Millisecond

func TestUserSpaceAnswers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		open func(t *testing.T) netip.AddrPort
		want bool
	}{
		"a TLS server lives": {open: tlsServer, want: true},
		"a server that wants a client certificate lives": {want: true,
			open: func(t *testing.T) netip.AddrPort {
				server := httptest.NewUnstartedServer(nil)
				server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
				return started(t, server)
			}},
		"a server that does not speak TLS lives": {want: true,
			open: func(t *testing.T) netip.AddrPort {
				return tcpServer(t, func(c net.Conn) { _, _ = c.Write([]byte("who is there?\n")) })
			}},
		// A dead kernel goes on accepting connections until the backlog is full: NETCONSOLE finding
		// 5.
		"a connection that the kernel accepts and nobody reads is silence": {
			open: func(t *testing.T) netip.AddrPort {
				l := listenTCP(t)
				return netip.MustParseAddrPort(l.Addr().String())
			}},
		"a connection that is closed without a word is silence": {
			open: func(t *testing.T) netip.AddrPort {
				return tcpServer(t, func(net.Conn) {})
			}},
		// Dead kernels send resets, too.
		"a refused connection is silence": {open: func(t *testing.T) netip.AddrPort {
			l := listenTCP(t)
			address := netip.MustParseAddrPort(l.Addr().String())
			_ = l.Close()
			return address
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := tc.open(t)
			if got, err := userSpaceAnswers(t.Context(), []netip.Addr{at.Addr()}, int(at.Port()),
				probeLimit, aGuard(t)); err != nil || got != tc.want {
				t.Errorf("user space answers: %t (%v), want %t", got, err, tc.want)
			}
		})
	}
}

func TestOneAnsweringAddressIsEnough(t *testing.T) {
	t.Parallel()
	at := tlsServer(t)
	hosts := []netip.Addr{netip.MustParseAddr("127.0.0.9"), at.Addr()}
	if got, err := userSpaceAnswers(t.Context(), hosts, int(at.Port()), probeLimit,
		aGuard(t)); err != nil || !got {
		t.Errorf("the answer of the second address was not heard (%v)", err)
	}
}

func TestNoAddressIsSilence(t *testing.T) {
	t.Parallel()
	if got, err := userSpaceAnswers(t.Context(), nil, 10250, probeLimit,
		aGuard(t)); err != nil || got {
		t.Errorf("nobody answered, and it is %t (%v)", got, err)
	}
}

func tlsServer(t *testing.T) netip.AddrPort {
	t.Helper()
	return started(t, httptest.NewUnstartedServer(nil))
}

func started(t *testing.T, server *httptest.Server) netip.AddrPort {
	t.Helper()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return netip.MustParseAddrPort(server.Listener.Addr().String())
}

func tcpServer(t *testing.T, answer func(net.Conn)) netip.AddrPort {
	t.Helper()
	l := listenTCP(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer(c)
			_ = c.Close()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
