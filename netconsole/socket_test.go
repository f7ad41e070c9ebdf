package netconsole

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/config"
)

func TestSocketReceivesBatches(t *testing.T) {
	t.Parallel()
	conn, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	socket, err := newReceiver(conn)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sender.Close() })
	at := conn.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
	const sent = 150
	for n := range sent {
		if _, err := sender.WriteToUDPAddrPort([]byte(strconv.Itoa(n)), at); err != nil {
			t.Fatal(err)
		}
	}
	want := sender.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
	for got := 0; got < sent; {
		datagrams, err := socket.receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range datagrams {
			if string(d.payload) != strconv.Itoa(got) || d.from != want {
				t.Fatalf("datagram %d: %q from %s, want %q from %s", got, d.payload, d.from,
					strconv.Itoa(got), want)
			}
			got++
		}
	}
}

func TestAPortThatIsTakenIsSaid(t *testing.T) {
	t.Parallel()
	conn, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	settings := config.Default().Netconsole
	settings.Address = conn.LocalAddr().String()
	_, err = New(Options{Config: settings, Registerer: prometheus.NewRegistry(),
		Clock: clock.RealClock{}, Log: logr.Discard()})
	if err == nil || !strings.Contains(err.Error(), "listen for netconsole: ") ||
		!strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v, want that the address is in use", err)
	}
}
