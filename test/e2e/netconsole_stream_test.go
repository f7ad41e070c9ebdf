package e2e

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/reason"
)

// flood sends datagrams from an address, 500 every 20 ms, until the function that it returns is
// called.
func (c *cluster) flood(t *testing.T, from string, datagram []byte) (stop func()) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "udp", c.Epitaph.Config.Netconsole.Address)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var flooding sync.WaitGroup
	flooding.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
			}
			for range 500 {
				_, _ = conn.Write(datagram) // what a full buffer drops is a flood's own affair
			}
		}
	})
	stop = sync.OnceFunc(func() {
		close(ended)
		flooding.Wait()
		_ = conn.Close()
	})
	t.Cleanup(stop)
	return stop
}

// panicIsHeardThroughFloods has a stranger, another node, and the node's own user space talk
// without pause while it panics.
func panicIsHeardThroughFloods(t *testing.T, c *cluster) {
	ns, node, talker := c.namespace(t), c.answering(t), c.answering(t)
	pods := c.fill(t, ns, node.Name, 3)
	bystander := c.pod(t, ns, talker.Name, "bystander")
	c.flood(t, "127.0.2.2", aSignedPanic("from a stranger"))
	c.flood(t, talker.Address,
		[]byte("6,7,8,-;eth0: link becomes ready, says a node that has much to say\n"))
	c.flood(t, node.Address,
		[]byte("12,7,8,-;Kernel panic - not syncing: says user space of the node\n"))
	time.Sleep(time.Second)
	c.dies(t, node.Name)
	c.says(t, node.Address, aSignedPanic("heard all the same"))
	wantPod, wantNode := panicked("heard all the same")
	for _, pod := range pods {
		c.leaves(t, reason.Pod, pod, wantPod)
	}
	c.leaves(t, reason.Node, node.Name, wantNode)
	stays(t, c, bystander, time.Second)
}

// networkIsUnkind loses every third datagram of a recorded kernel but the one with the panic,
// doubles the others, and turns their order around in groups. In one of the recordings every
// message is in two fragments.
func networkIsUnkind(t *testing.T, c *cluster) {
	together(t, map[string]func(*testing.T){
		"whole messages": func(t *testing.T) {
			hearsUnkindly(t, c, "sysrq-ext-6.12c-panic0")
		},
		"messages in two fragments": func(t *testing.T) { hearsUnkindly(t, c, "fragud-ext-6.12c") },
	})
}

func hearsUnkindly(t *testing.T, c *cluster, capture string) {
	ns, node := c.namespace(t), c.answering(t)
	c.pod(t, ns, node.Name, "a")
	var arrived [][]byte
	for n, d := range recording(t, capture) {
		if bytes.Contains(d, []byte(";Kernel panic - not syncing")) {
			arrived = append(arrived, d)
		} else if n%3 != 0 {
			arrived = append(arrived, d, d)
		}
	}
	for group := range slices.Chunk(arrived, 5) {
		slices.Reverse(group)
	}
	c.dies(t, node.Name)
	c.says(t, node.Address, arrived...)
	wantPod, wantNode := panicked("sysrq triggered crash")
	c.leaves(t, reason.Pod, ns+"/a", wantPod)
	c.leaves(t, reason.Node, node.Name, wantNode)
}
