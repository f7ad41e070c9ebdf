package route_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/agent/route"
)

const (
	gatewayMAC = "02:00:00:00:00:01"
	patience   = 30 * time.Second
)

// A network is a network namespace with a device eth0 whose other end is a gateway, at 10.0.0.1 and
// fd00::1.
type network struct {
	t       *testing.T
	gateway netns.NsHandle
	eth0    netlink.Link
}

// within runs a test in a network namespace of its own, on a thread that never serves another
// goroutine.
func within(t *testing.T, test func(n *network)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: root is missing, who may make network namespaces")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		n := &network{t: t}
		n.must(n.make())
		test(n)
		n.must(n.gateway.Close())
	}()
	<-done
}

// must ends the test's goroutine on an error.
func (n *network) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Error(err)
		runtime.Goexit()
	}
}

func (n *network) make() error {
	var err error
	if n.gateway, err = netns.New(); err != nil {
		return err
	}
	here, err := netns.New()
	if err != nil {
		return err
	}
	defer here.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "gw", PeerNamespace: netlink.NsFd(n.gateway),
		PeerHardwareAddr: mac(gatewayMAC)}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	if n.eth0, err = netlink.LinkByName("eth0"); err != nil {
		return err
	}
	// The other end first: an address that is being checked for duplicates does not answer.
	return errors.Join(n.atGateway(func() error { return up("gw", "10.0.0.1/24", "fd00::1/64") }),
		up("eth0", "10.0.0.2/24", "fd00::2/64"),
		defaultRoute(n.eth0, "10.0.0.1"), defaultRoute(n.eth0, "fd00::1"))
}

func mac(s string) (hardware []byte) {
	for _, b := range strings.Split(s, ":") {
		var x byte
		_, _ = fmt.Sscanf(b, "%x", &x)
		hardware = append(hardware, x)
	}
	return hardware
}

func up(name string, addresses ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		const noDAD = 0x02 // IFA_F_NODAD
		addr.Flags = noDAD
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %s: %w", a, err)
		}
	}
	return netlink.LinkSetUp(link)
}

func defaultRoute(link netlink.Link, gateway string) error {
	return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index,
		Gw: netip.MustParseAddr(gateway).AsSlice()})
}

// atGateway runs f in the gateway's namespace.
func (n *network) atGateway(f func() error) error {
	here, err := netns.Get()
	if err != nil {
		return err
	}
	defer here.Close()
	if err := netns.Set(n.gateway); err != nil {
		return err
	}
	return errors.Join(f(), netns.Set(here))
}

// to looks the way up until there is one, or until patience is over.
func to(dst string) (way route.Way, err error) {
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(10 * time.Millisecond) {
		way, err = route.To(netip.MustParseAddr(dst))
		if err == nil || fault.Of(err).Code != fault.NoNeighbour {
			return way, err
		}
	}
	return way, err
}

func TestTo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		dst  string
		want route.Way
	}{
		"behind a gateway": {"192.0.2.9",
			route.Way{Device: "eth0", Source: netip.MustParseAddr("10.0.0.2"),
				NextHop: gatewayMAC}},
		"on the link": {"10.0.0.1",
			route.Way{Device: "eth0", Source: netip.MustParseAddr("10.0.0.2"),
				NextHop: gatewayMAC}},
		"behind a gateway, IPv6": {"2001:db8::9",
			route.Way{Device: "eth0", Source: netip.MustParseAddr("fd00::2"), NextHop: gatewayMAC}},
		"on the link, IPv6": {"fd00::1",
			route.Way{Device: "eth0", Source: netip.MustParseAddr("fd00::2"), NextHop: gatewayMAC}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			within(t, func(n *network) {
				got, err := to(tc.dst)
				n.must(err)
				if got != tc.want {
					t.Errorf("the way is %+v, want %+v", got, tc.want)
				}
			})
		})
	}
}

func TestThereIsNoWay(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		happen   func(n *network) error
		dst      string
		wantCode fault.Code
		want     string
	}{
		"no route": {
			func(n *network) error {
				return netlink.RouteDel(&netlink.Route{LinkIndex: n.eth0.Attrs().Index,
					Gw: netip.MustParseAddr("10.0.0.1").AsSlice()})
			},
			"192.0.2.9", fault.NoRoute,
			"find the route to 192.0.2.9: network is unreachable: give this node a route to the listener's address",
		},
		"the device is down": {
			func(n *network) error { return netlink.LinkSetDown(n.eth0) },
			"192.0.2.9", fault.NoRoute,
			"find the route to 192.0.2.9: network is unreachable: give this node a route to the listener's address",
		},
		"itself": {
			func(*network) error { return up("lo") },
			"10.0.0.2", fault.NoRoute,
			"10.0.0.2 is an address of this node: a node that dies cannot hear itself: name a listener on another machine",
		},
		"a device below a bridge": {
			func(n *network) error {
				attrs := netlink.NewLinkAttrs()
				attrs.Name = "br0"
				bridge := &netlink.Bridge{LinkAttrs: attrs}
				return errors.Join(netlink.LinkAdd(bridge), netlink.LinkSetMaster(n.eth0, bridge))
			},
			"192.0.2.9", fault.UnsuitableDevice,
			"device eth0 belongs to br0: netconsole needs the device above: give that one the route to the listener",
		},
		"a device without Ethernet": {
			func(*network) error {
				attrs := netlink.NewLinkAttrs()
				attrs.Name = "tun0"
				tun := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN}
				return errors.Join(netlink.LinkAdd(tun), up("tun0", "192.0.2.1/24"))
			},
			"192.0.2.9", fault.UnsuitableDevice,
			"device tun0 has no Ethernet address: netconsole sends Ethernet frames only: give an Ethernet device the route to the listener",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			within(t, func(n *network) {
				n.must(tc.happen(n))
				_, err := route.To(netip.MustParseAddr(tc.dst))
				if err == nil || fault.Of(err).Code != tc.wantCode {
					t.Errorf("To = %v, want %s", err, tc.wantCode)
					return
				}
				if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

// A gateway that never answers is a fault; one that has not answered yet is one for a moment.
func TestSilentGateway(t *testing.T) {
	t.Parallel()
	within(t, func(n *network) {
		n.must(defaultRoute(n.eth0, "10.0.0.77"))
		_, err := route.To(netip.MustParseAddr("192.0.2.9"))
		const want = "10.0.0.77 has not answered on device eth0: if this persists, the gateway or the listener does not answer to ARP or neighbour discovery: look at ip neigh"
		if err == nil || err.Error() != want || fault.Of(err).Code != fault.NoNeighbour {
			t.Errorf("To = %v, want %s", err, want)
		}
	})
}

// A gateway whose link-layer address changes, as when another machine takes over, is noticed, and
// so are changes of routes and devices.
func TestChanges(t *testing.T) {
	t.Parallel()
	const other = "02:00:00:00:00:0a"
	tests := map[string]struct {
		change func(n *network) error
		want   route.Way
	}{
		"the gateway's address": {
			func(n *network) error {
				return errors.Join(n.atGateway(func() error {
					gw, err := netlink.LinkByName("gw")
					return errors.Join(err, netlink.LinkSetHardwareAddr(gw, mac(other)))
				}), netlink.NeighSet(&netlink.Neigh{
					LinkIndex: n.eth0.Attrs().Index, IP: netip.MustParseAddr("10.0.0.1").AsSlice(),
					HardwareAddr: mac(other), State: netlink.NUD_REACHABLE,
				}))
			},
			route.Way{Device: "eth0", Source: netip.MustParseAddr("10.0.0.2"), NextHop: other},
		},
		"the source address": {
			func(n *network) error {
				old, err := netlink.ParseAddr("10.0.0.2/24")
				return errors.Join(err, up("eth0", "10.0.0.3/24"), netlink.AddrDel(n.eth0, old),
					up("eth0", "10.0.0.4/24"), defaultRoute(n.eth0, "10.0.0.1"))
			},
			route.Way{Device: "eth0", Source: netip.MustParseAddr("10.0.0.4"), NextHop: gatewayMAC},
		},
		"the device goes down and up": {
			func(n *network) error {
				return errors.Join(netlink.LinkSetDown(n.eth0), netlink.LinkSetUp(n.eth0),
					defaultRoute(n.eth0, "10.0.0.1"))
			},
			route.Way{Device: "eth0", Source: netip.MustParseAddr("10.0.0.2"), NextHop: gatewayMAC},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			within(t, func(n *network) {
				_, err := to("192.0.2.9")
				n.must(err)
				watch, err := route.NewWatch()
				n.must(err)
				ctx, cancel := context.WithCancel(t.Context())
				changed, ended := make(chan struct{}, 1), make(chan error)
				go func() { ended <- watch.Run(ctx, changed) }()
				n.must(tc.change(n))
				var got route.Way
				// Each change is signalled, and after the last one the way is the new one.
				for got != tc.want {
					select {
					case <-changed:
						got, _ = to("192.0.2.9")
					case <-time.After(patience):
						t.Errorf("the way is still %+v, want %+v", got, tc.want)
						got = tc.want
					}
				}
				cancel()
				n.must(<-ended)
			})
		})
	}
}
