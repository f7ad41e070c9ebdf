package listeners

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// A Listener listens to kernels.
type Listener struct {
	Address netip.AddrPort
	// Node and Zone say where it is; empty if unknown.
	Node, Zone string
	// Ready is false while it is starting or ending.
	Ready bool
}

// ByHand returns listeners whose addresses are in the configuration.
func ByHand(addresses []netip.AddrPort) []Listener {
	var all []Listener
	for _, a := range addresses {
		all = append(all, Listener{Address: a, Ready: true})
	}
	return all
}

// InSlices returns the listeners among the endpoints of a Service. Their port is the one named
// PortName, or the only one for UDP.
func InSlices(slicesOfService []discoveryv1.EndpointSlice) []Listener {
	var all []Listener
	for _, s := range slicesOfService {
		port, ok := udpPort(s.Ports)
		if !ok {
			continue
		}
		for _, e := range s.Endpoints {
			for _, text := range e.Addresses {
				if addr, err := netip.ParseAddr(text); err == nil {
					all = append(all, Listener{
						Address: netip.AddrPortFrom(addr.Unmap(), port), Node: value(e.NodeName),
						Zone: value(e.Zone), Ready: e.Conditions.Ready == nil ||
							*e.Conditions.Ready,
					})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b Listener) int { return a.Address.Compare(b.Address) })
	// An endpoint may be in two slices while it moves from one to the other.
	return slices.CompactFunc(all, func(a, b Listener) bool { return a.Address == b.Address })
}

// PortName is the name of a listener's port in its Service.
const PortName = "netconsole"

func udpPort(ports []discoveryv1.EndpointPort) (uint16, bool) {
	var udp []discoveryv1.EndpointPort
	for _, p := range ports {
		if p.Protocol != nil && *p.Protocol == corev1.ProtocolUDP && p.Port != nil {
			udp = append(udp, p)
		}
	}
	for _, p := range udp {
		if value(p.Name) == PortName || len(udp) == 1 {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Choose returns up to n listeners for a node: never the node itself, ready ones first, and no two
// on one node or in one zone while there are others. The same input always has the same result,
// nodes spread over all listeners, and a listener that comes or goes changes the choice of few.
func Choose(all []Listener, self string, n int) []Listener {
	left := slices.DeleteFunc(slices.Clone(all),
		func(l Listener) bool { return l.Node == self && self != "" })
	var chosen []Listener
	for len(chosen) < n && len(left) > 0 {
		best := slices.MinFunc(left, func(a, b Listener) int { return compare(a, b, chosen, self) })
		chosen = append(chosen, best)
		left = slices.DeleteFunc(left, func(l Listener) bool { return l == best })
	}
	return chosen
}

// compare orders two candidates by how well they complement those already chosen.
func compare(a, b Listener, chosen []Listener, self string) int {
	return cmp.Or(
		cmp.Compare(order(!a.Ready), order(!b.Ready)),
		cmp.Compare(shared(a.Node, chosen, Listener.node), shared(b.Node, chosen, Listener.node)),
		cmp.Compare(shared(a.Zone, chosen, Listener.zone), shared(b.Zone, chosen, Listener.zone)),
		cmp.Compare(weight(self, a), weight(self, b)),
		a.Address.Compare(b.Address),
	)
}

func (l Listener) node() string { return l.Node }
func (l Listener) zone() string { return l.Zone }

// shared counts how many of those chosen are in the same place. An unknown place is shared with
// none.
func shared(place string, chosen []Listener, of func(Listener) string) int {
	count := 0
	for _, c := range chosen {
		if place != "" && of(c) == place {
			count++
		}
	}
	return count
}

func order(b bool) int {
	if b {
		return 1
	}
	return 0
}
