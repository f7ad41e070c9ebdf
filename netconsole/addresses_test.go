package netconsole

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func typesUID(n int) types.UID { return types.UID(strconv.Itoa(n)) }

func aNode(name string, addresses ...string) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name,
		UID: types.UID("uid-of-" + name)}}
	node.Status.NodeInfo.BootID = "boot-1"
	for _, a := range addresses {
		node.Status.Addresses = append(node.Status.Addresses,
			corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return node
}

func TestAddressesFind(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		has  string
		from string
		want string
	}{
		"IPv4":                          {has: "10.0.0.1", from: "10.0.0.1", want: "n1"},
		"IPv4 on a dual-stack socket":   {has: "10.0.0.1", from: "::ffff:10.0.0.1", want: "n1"},
		"IPv4 written as IPv6":          {has: "::ffff:10.0.0.1", from: "10.0.0.1", want: "n1"},
		"IPv6, other spelling":          {has: "2001:DB8:0:0::1", from: "2001:db8::1", want: "n1"},
		"IPv6 with a zone":              {has: "fe80::1", from: "fe80::1%eth0", want: "n1"},
		"another address":               {has: "10.0.0.1", from: "10.0.0.2", want: ""},
		"a name is nobody's address":    {has: "localhost", from: "127.0.0.1", want: ""},
		"unspecified is nobody's":       {has: "0.0.0.0", from: "0.0.0.0", want: ""},
		"IPv6 of the same last 32 bits": {has: "10.0.0.1", from: "2001:db8::a00:1", want: ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAddresses(rules)
			a.set(aNode("n1", tc.has))
			s, contested := a.find(netip.MustParseAddr(tc.from))
			got := ""
			if s != nil {
				got = s.name
			}
			if got != tc.want || contested {
				t.Errorf("found %q (contested %t), want %q", got, contested, tc.want)
			}
		})
	}
}

func TestAddressesOfEveryTypeCount(t *testing.T) {
	t.Parallel()
	node := aNode("n1", "10.0.0.1")
	node.Status.Addresses = append(node.Status.Addresses,
		corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "203.0.113.7"},
		corev1.NodeAddress{Type: corev1.NodeHostName, Address: "192.0.2.9"},
		corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.1"})
	want := []string{"10.0.0.1", "192.0.2.9", "203.0.113.7"}
	var got []string
	for _, a := range addressesOf(node) {
		got = append(got, a.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestContestedAddress(t *testing.T) {
	t.Parallel()
	shared := netip.MustParseAddr("10.0.0.1")
	a := newAddresses(rules)
	other := aNode("n2", "10.0.0.1", "10.0.0.2")
	other.Status.NodeInfo.BootID = "another machine's"
	if news := a.set(aNode("n1", "10.0.0.1")); len(news) != 0 {
		t.Errorf("%v is contested by one node", news)
	}
	if diff := cmp.Diff([]string{"10.0.0.1"}, asStrings(a.set(other))); diff != "" {
		t.Errorf("contested addresses (-want +got):\n%s", diff)
	}
	if news := a.set(other); len(news) != 0 {
		t.Errorf("%v is reported twice", news)
	}
	if s, contested := a.find(shared); s != nil || !contested || a.contested() != 1 {
		t.Errorf("found %v (contested %t, %v in all), want nobody", s, contested, a.contested())
	}
	if s, _ := a.find(netip.MustParseAddr("10.0.0.2")); s == nil || s.name != "n2" {
		t.Errorf("found %v at an address of n2 that nobody else claims", s)
	}
	a.drop("uid-of-n2")
	if s, contested := a.find(shared); s == nil || s.name != "n1" || contested {
		t.Errorf("found %v (contested %t) after the other claim went, want n1", s, contested)
	}
}

// A machine that was renamed registers anew; its address is that of the Node that it runs as now.
func TestRenamedNodeHasItsAddress(t *testing.T) {
	t.Parallel()
	as := func(name, bootID, machineID, systemUUID string, registered int64) *corev1.Node {
		node := aNode(name, "10.0.0.1")
		node.Status.NodeInfo = corev1.NodeSystemInfo{BootID: bootID, MachineID: machineID,
			SystemUUID: systemUUID}
		node.CreationTimestamp = metav1.Unix(registered, 0)
		return node
	}
	tests := map[string]struct {
		nodes []*corev1.Node
		want  string
	}{
		"in the same boot": {nodes: []*corev1.Node{as("old", "b", "", "", 1),
			as("new", "b", "", "", 2)}, want: "new"},
		"told of in the other order": {nodes: []*corev1.Node{as("new", "b", "", "", 2),
			as("old", "b", "", "", 1)}, want: "new"},
		"twice": {nodes: []*corev1.Node{as("old", "b", "", "", 1),
			as("new", "b", "", "", 2), as("newest", "b", "", "", 3)}, want: "newest"},
		"with a reboot": {nodes: []*corev1.Node{as("old", "a", "m", "s", 1),
			as("new", "b", "m", "s", 2)}, want: "new"},
		"another machine": {nodes: []*corev1.Node{as("old", "a", "m", "s", 1),
			as("new", "b", "n", "t", 2)}},
		"a clone of another machine": {nodes: []*corev1.Node{as("old", "a", "m", "s", 1),
			as("new", "b", "m", "t", 2)}},
		"nothing is known of either": {nodes: []*corev1.Node{as("old", "", "", "", 1),
			as("new", "", "", "", 2)}},
		"and another machine claims it": {nodes: []*corev1.Node{as("old", "b", "", "", 1),
			as("new", "b", "", "", 2), as("third", "c", "", "", 0)}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAddresses(rules)
			for _, node := range tc.nodes {
				a.set(node)
			}
			s, contested := a.find(netip.MustParseAddr("10.0.0.1"))
			if contested != (tc.want == "") || s == nil != contested ||
				s != nil && s.name != tc.want {
				t.Errorf("found %+v (contested %t), want %q", s, contested, tc.want)
			}
		})
	}
}

// What the API says of a machine may change after its Node was seen first: its kubelet fills it in.
func TestRenamedNodeIsKnownLater(t *testing.T) {
	t.Parallel()
	a := newAddresses(rules)
	old, young := aNode("old", "10.0.0.1"), aNode("young", "10.0.0.1")
	young.CreationTimestamp = metav1.Unix(2, 0)
	young.Status.NodeInfo.BootID = ""
	a.set(old)
	a.set(young)
	if _, contested := a.find(netip.MustParseAddr("10.0.0.1")); !contested {
		t.Error("an address of two Nodes is not contested while nothing is known of one of them")
	}
	young.Status.NodeInfo.BootID = old.Status.NodeInfo.BootID
	a.set(young)
	if s, contested := a.find(netip.MustParseAddr("10.0.0.1")); contested || s == nil ||
		s.name != "young" || a.contested() != 0 {
		t.Errorf("found %+v (contested %t), want the Node that the machine runs as now", s,
			contested)
	}
}

func TestANodeThatMovesKeepsWhatItSaid(t *testing.T) {
	t.Parallel()
	a := newAddresses(rules)
	a.set(aNode("n1", "10.0.0.1"))
	before, _ := a.find(netip.MustParseAddr("10.0.0.1"))
	a.set(aNode("n1", "10.0.0.7"))
	after, _ := a.find(netip.MustParseAddr("10.0.0.7"))
	if before == nil || before != after {
		t.Errorf("sender %p became %p", before, after)
	}
	if s, _ := a.find(netip.MustParseAddr("10.0.0.1")); s != nil {
		t.Error("the address that it left is still its own")
	}
}

func TestUnknownSendersCostNothing(t *testing.T) {
	a := newAddresses(rules)
	a.set(aNode("n1", "10.0.0.1"))
	stranger := netip.MustParseAddr("::ffff:192.0.2.1")
	if n := testing.AllocsPerRun(100, func() { a.find(stranger) }); n != 0 {
		t.Errorf("%v allocations to find that nobody has an address", n)
	}
}

func asStrings(all []netip.Addr) []string {
	var s []string
	for _, a := range all {
		s = append(s, a.String())
	}
	return s
}
