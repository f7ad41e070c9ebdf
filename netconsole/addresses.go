package netconsole

import (
	"net/netip"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason/kernel"
)

// addresses maps a datagram's source address to a node. It holds what the API says of all nodes. A
// lookup allocates nothing, so a flood of datagrams from unknown senders costs no memory.
type addresses struct {
	mu     sync.RWMutex
	claims map[netip.Addr]claim
	nodes  map[types.UID]*claimant
	names  map[string]*sender
	memory *memory
}

type claimant struct {
	sender    *sender
	addresses []netip.Addr
	machine   machine
}

// A claim lists all nodes that have the address. The owner is the node that it belongs to; nil if
// that cannot be determined.
type claim struct {
	by    []*claimant
	owner *sender
}

func newAddresses(rules *kernel.Rules) *addresses {
	return &addresses{
		claims: map[netip.Addr]claim{}, nodes: map[types.UID]*claimant{},
		names: map[string]*sender{}, memory: newMemory(rules),
	}
}

// find returns the sender that has the address; contested is set if several nodes claim it, and
// then nobody has it.
func (a *addresses) find(address netip.Addr) (s *sender, contested bool) {
	address = plainForm(address)
	a.mu.RLock()
	defer a.mu.RUnlock()
	c := a.claims[address]
	return c.owner, c.contested()
}

func (c claim) contested() bool { return c.owner == nil && len(c.by) > 0 }

// named returns the sender of a name, or nil. The name is not kept.
func (a *addresses) named(name []byte) *sender {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.names[string(name)]
}

// set records a node's addresses and returns those that another node claims as well, if that is
// new.
func (a *addresses) set(node *corev1.Node) (contested []netip.Addr) {
	has, is := addressesOf(node), machineOf(node)
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.nodes[node.UID]
	if c == nil {
		c = &claimant{sender: newSender(node, a.memory)}
		a.nodes[node.UID], a.names[node.Name] = c, c.sender
	}
	c.sender.update(node)
	if slices.Equal(c.addresses, has) && c.machine == is {
		return nil
	}
	before := c.addresses
	a.withdraw(c)
	c.addresses, c.machine = has, is
	for _, address := range has {
		now := claimBy(append(a.claims[address].by, c))
		a.claims[address] = now
		if now.contested() && !slices.Contains(before, address) {
			contested = append(contested, address)
		}
	}
	return contested
}

// drop forgets a deleted node.
func (a *addresses) drop(node types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.nodes[node]; c != nil {
		a.withdraw(c)
		delete(a.nodes, node)
		if a.names[c.sender.name] == c.sender {
			delete(a.names, c.sender.name)
		}
	}
}

// contested is how many addresses several nodes claim.
func (a *addresses) contested() float64 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	n := 0.0
	for _, c := range a.claims {
		if c.contested() {
			n++
		}
	}
	return n
}

func (a *addresses) withdraw(c *claimant) {
	for _, address := range c.addresses {
		left := slices.DeleteFunc(slices.Clone(a.claims[address].by),
			func(other *claimant) bool { return other == c })
		if len(left) == 0 {
			delete(a.claims, address)
		} else {
			a.claims[address] = claimBy(left)
		}
	}
}

// claimBy determines the owner of an address. If several Nodes are one machine, the owner is the
// one registered last: the machine was renamed, and its old Node has not been deleted yet.
func claimBy(by []*claimant) claim {
	last := by[0]
	for _, c := range by[1:] {
		if c.machine.registeredAfter(last.machine) {
			last = c
		}
	}
	for _, c := range by {
		if !c.machine.is(last.machine) {
			return claim{by: by}
		}
	}
	return claim{by: by, owner: last.sender}
}

// addressesOf returns the addresses of every type that are literal IP addresses, each once. Names
// are not looked up: whoever answers for DNS would choose which node dies.
func addressesOf(node *corev1.Node) []netip.Addr {
	var all []netip.Addr
	for _, a := range node.Status.Addresses {
		ip, err := netip.ParseAddr(a.Address)
		if err != nil || ip.IsUnspecified() || ip.IsMulticast() {
			continue
		}
		all = append(all, plainForm(ip))
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// plainForm normalises an address: it unmaps IPv4 in IPv6 and drops the zone, which only has a
// meaning on its own machine.
func plainForm(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }
