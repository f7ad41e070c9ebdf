package route

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/epitaph-k8s/epitaph/agent/fault"
)

// A Way is how frames get to an address.
type Way struct {
	Device string
	Source netip.Addr
	// NextHop is the link-layer address of the destination, or of the gateway to it.
	NextHop string
}

// To finds the way to an address. It starts to resolve an unknown next hop, which is a fault until
// it has answered.
func To(dst netip.Addr) (Way, error) {
	routes, err := netlink.RouteGetWithOptions(dst.AsSlice(),
		&netlink.RouteGetOptions{Oif: dst.Zone()})
	if err != nil || len(routes) == 0 {
		return Way{}, fault.New(fault.NoRoute, err, fmt.Sprintf("find the route to %s", dst),
			"give this node a route to the listener's address")
	}
	r := routes[0]
	if r.Type == syscall.RTN_LOCAL {
		return Way{}, fault.New(fault.NoRoute, nil,
			fmt.Sprintf("%s is an address of this node", dst),
			"a node that dies cannot hear itself: name a listener on another machine")
	}
	link, err := netlink.LinkByIndex(r.LinkIndex)
	if err != nil {
		return Way{}, fault.New(fault.NoRoute, err,
			fmt.Sprintf("look at the device of the route to %s", dst), "")
	}
	if err := suitable(link); err != nil {
		return Way{}, err
	}
	source, ok := netip.AddrFromSlice(r.Src)
	if !ok {
		return Way{}, fault.New(fault.UnsuitableDevice, nil,
			fmt.Sprintf("device %s has no source address for %s", link.Attrs().Name, dst),
			"give it one")
	}
	hop, err := nextHop(link, gateway(r, dst), dst)
	if err != nil {
		return Way{}, err
	}
	return Way{Device: link.Attrs().Name, Source: source.Unmap(), NextHop: hop}, nil
}

// gateway returns the address whose link-layer address is needed. IPv4 routes may have an IPv6
// gateway.
func gateway(r netlink.Route, dst netip.Addr) netip.Addr {
	gw := r.Gw
	if via, ok := r.Via.(*netlink.Via); ok && gw == nil {
		gw = via.Addr
	}
	if addr, ok := netip.AddrFromSlice(gw); ok {
		return addr.Unmap()
	}
	return dst.WithZone("")
}

// suitable returns an error if netconsole cannot send by the device: netpoll needs Ethernet, and no
// device below another.
func suitable(link netlink.Link) error {
	a := link.Attrs()
	switch {
	case a.MasterIndex != 0:
		return fault.New(fault.UnsuitableDevice, nil,
			fmt.Sprintf("device %s belongs to %s", a.Name, nameOf(a.MasterIndex)),
			"netconsole needs the device above: give that one the route to the listener")
	case len(a.HardwareAddr) != 6:
		return fault.New(fault.UnsuitableDevice, nil,
			fmt.Sprintf("device %s has no Ethernet address", a.Name),
			"netconsole sends Ethernet frames only: give an Ethernet device the route to the listener")
	default:
		return nil
	}
}

func nameOf(index int) string {
	if link, err := netlink.LinkByIndex(index); err == nil {
		return link.Attrs().Name
	}
	return fmt.Sprintf("device %d", index)
}

// unresolved are the states of a neighbour whose address is not known.
const unresolved = netlink.NUD_NONE | netlink.NUD_INCOMPLETE | netlink.NUD_FAILED

// nextHop looks the gateway up among the neighbours, and makes the kernel resolve it, which also
// renews a stale entry.
func nextHop(link netlink.Link, gw, dst netip.Addr) (string, error) {
	family := netlink.FAMILY_V4
	if gw.Is6() {
		family = netlink.FAMILY_V6
	}
	neighbours, err := netlink.NeighList(link.Attrs().Index, family)
	if err != nil {
		return "", fault.New(fault.NoNeighbour, err,
			"list the neighbours on device "+link.Attrs().Name, "")
	}
	asked := ask(dst)
	at := slices.IndexFunc(neighbours, func(n netlink.Neigh) bool {
		addr, ok := netip.AddrFromSlice(n.IP)
		return ok && addr.Unmap() == gw && n.State&unresolved == 0 && len(n.HardwareAddr) == 6
	})
	if at < 0 {
		return "", fault.New(fault.NoNeighbour, asked,
			fmt.Sprintf("%s has not answered on device %s", gw, link.Attrs().Name),
			"if this persists, the gateway or the listener does not answer to ARP or neighbour discovery: look at ip neigh")
	}
	return neighbours[at].HardwareAddr.String(), nil
}

// discard is a port that nobody listens on (RFC 863).
const discard = 9

// ask makes the kernel find the next hop, by sending an empty packet.
func ask(dst netip.Addr) error {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(dst, discard)))
	if err != nil {
		return err
	}
	_, err = conn.Write(nil)
	return errors.Join(err, conn.Close())
}

// Own lists the addresses of this machine.
func Own() ([]netip.Addr, error) {
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fault.New(fault.UnexpectedBehavior, err, "list the addresses of this node", "")
	}
	var all []netip.Addr
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			all = append(all, addr.Unmap())
		}
	}
	return all, nil
}
