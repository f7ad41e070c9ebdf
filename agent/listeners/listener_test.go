package listeners_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/agent/listeners"
)

var byAddress = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

// l is a listener at 10.0.0.host, on a node that is named after it.
func l(host byte, zone string, ready bool) listeners.Listener {
	return listeners.Listener{
		Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, host}), 6666),
		Node:    fmt.Sprintf("n%d", host), Zone: zone, Ready: ready,
	}
}

func TestInSlices(t *testing.T) {
	t.Parallel()
	udp, tcp := ptr.To(corev1.ProtocolUDP), ptr.To(corev1.ProtocolTCP)
	port := func(name string, protocol *corev1.Protocol, n int32) discoveryv1.EndpointPort {
		return discoveryv1.EndpointPort{Name: &name, Protocol: protocol, Port: &n}
	}
	endpoint := func(address, node, zone string, ready *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{
			Addresses: []string{address}, NodeName: &node, Zone: &zone,
			Conditions: discoveryv1.EndpointConditions{Ready: ready},
		}
	}
	input := []discoveryv1.EndpointSlice{
		{
			Ports: []discoveryv1.EndpointPort{port("webhook", tcp, 9443), port("dns", udp, 53),
				port("netconsole", udp, 6666)},
			Endpoints: []discoveryv1.Endpoint{
				endpoint("10.0.0.3", "n3", "a", ptr.To(false)),
				endpoint("10.0.0.2", "n2", "b", nil), endpoint("nonsense", "n9", "b", nil),
			},
		},
		{Ports: []discoveryv1.EndpointPort{port("x", udp, 6666)},
			Endpoints: []discoveryv1.Endpoint{endpoint("10.0.0.2", "n2", "b", nil),
				{Addresses: []string{"fd00::9"}}}},
		{Ports: []discoveryv1.EndpointPort{port("webhook", tcp, 9443)},
			Endpoints: []discoveryv1.Endpoint{endpoint("10.0.0.8", "n8", "b", nil)}},
		{Ports: []discoveryv1.EndpointPort{port("a", udp, 1), port("b", udp, 2)},
			Endpoints: []discoveryv1.Endpoint{endpoint("10.0.0.8", "n8", "b", nil)}},
	}
	want := []listeners.Listener{l(2, "b", true), l(3, "a", false),
		{Address: netip.MustParseAddrPort("[fd00::9]:6666"), Ready: true}}
	if diff := cmp.Diff(want, listeners.InSlices(input), byAddress); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	ten := func() (all []listeners.Listener) {
		for n := range byte(10) {
			all = append(all, l(n, string('a'+rune(n%3)), true))
		}
		return all
	}
	tests := map[string]struct {
		all   []listeners.Listener
		n     int
		check func(t *testing.T, got []listeners.Listener)
	}{
		"none":              {nil, 2, wants()},
		"fewer than wanted": {[]listeners.Listener{l(2, "a", true)}, 2, wants(2)},
		"never itself": {[]listeners.Listener{l(1, "a", true), l(2, "a", true)}, 2,
			wants(2)},
		"itself alone": {[]listeners.Listener{l(1, "a", true)}, 2, wants()},
		"the ready one": {[]listeners.Listener{l(2, "a", false), l(3, "a", true)}, 1,
			wants(3)},
		"better than none": {[]listeners.Listener{l(2, "a", false)}, 1, wants(2)},
		"another zone": {[]listeners.Listener{l(2, "a", true), l(3, "a", true),
			l(4, "a", true), l(5, "b", true)}, 2, includes(5)},
		"ready before far apart": {[]listeners.Listener{l(2, "a", true), l(3, "a", true),
			l(5, "b", false)}, 2, wants(2, 3)},
		"ten listeners, three of them, in three zones": {ten(), 3,
			func(t *testing.T, got []listeners.Listener) {
				t.Helper()
				zones := map[string]bool{}
				for _, g := range got {
					zones[g.Zone] = true
				}
				if len(got) != 3 || len(zones) != 3 {
					t.Errorf("chosen are %v", got)
				}
			}},
		"all of them": {ten(), 16, func(t *testing.T, got []listeners.Listener) {
			t.Helper()
			if len(got) != 9 {
				t.Errorf("%d are chosen, want 9 and not itself", len(got))
			}
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := listeners.Choose(tc.all, "n1", tc.n)
			tc.check(t, got)
			slices.Reverse(tc.all)
			if diff := cmp.Diff(got, listeners.Choose(tc.all, "n1", tc.n), byAddress); diff != "" {
				t.Errorf("another order has another answer:\n%s", diff)
			}
		})
	}
}

func wants(hosts ...byte) func(t *testing.T, got []listeners.Listener) {
	return func(t *testing.T, got []listeners.Listener) {
		t.Helper()
		var have []byte
		for _, g := range got {
			have = append(have, g.Address.Addr().As4()[3])
		}
		slices.Sort(have)
		if !slices.Equal(have, hosts) {
			t.Errorf("chosen are %v, want %v", have, hosts)
		}
	}
}

func includes(host byte) func(t *testing.T, got []listeners.Listener) {
	return func(t *testing.T, got []listeners.Listener) {
		t.Helper()
		if !slices.ContainsFunc(got,
			func(g listeners.Listener) bool { return g.Address.Addr().As4()[3] == host }) {
			t.Errorf("chosen are %v, want %d among them", got, host)
		}
	}
}

// A thousand nodes spread over the listeners, and one that goes moves only those that sent to it.
func TestChoiceSpreads(t *testing.T) {
	t.Parallel()
	const nodes, each = 1000, 2
	var all []listeners.Listener
	for n := range byte(5) {
		all = append(all, l(n, "", true))
	}
	count, moved := map[netip.AddrPort]int{}, 0
	for n := range nodes {
		self := fmt.Sprintf("worker-%d", n)
		before := listeners.Choose(all, self, each)
		after := listeners.Choose(all[1:], self, each)
		for _, b := range before {
			count[b.Address]++
			if !slices.Contains(after, b) && b != all[0] {
				moved++
			}
		}
	}
	for a, n := range count {
		if even := nodes * each / len(all); n < even*3/4 || n > even*5/4 {
			t.Errorf("%d nodes talk to %s, want about %d", n, a, even)
		}
	}
	if moved > 0 {
		t.Errorf("%d moved away from listeners that stayed", moved)
	}
}
