package netconsole

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/termination"
	"github.com/epitaph-k8s/epitaph/test/forgeries"
)

// A living node answers and renews its Lease, except while its kubelet restarts or it reboots.
type livingNode struct {
	node *corev1.Node
	from netip.AddrPort

	mu   sync.Mutex
	down bool
	// renewal is held while its Lease is renewed.
	renewal sync.Mutex
}

func (l *livingNode) renews(t *testing.T, c *cluster, p *panicHandler) {
	l.renewal.Lock()
	defer l.renewal.Unlock()
	c.renews(t, p, l.node.Name)
}

func (l *livingNode) isDown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down
}

func (l *livingNode) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

// forgedPanics is how many forged panics are sent.
const forgedPanics = 2000

// Panics of every kind come from the addresses of nodes that live, restart their kubelets for 1, 5
// and 15 seconds, and reboot for a minute and a half meanwhile. None of them is acted upon; and
// each node's own panic still is, in the end.
func TestNothingThatLivesDiesOfForgeries(t *testing.T) {
	t.Parallel()
	heard, err := forgeries.Recorded(captures)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		nodes := livingNodes(8)
		var objects []client.Object
		for _, l := range nodes {
			objects = append(objects, l.node, aLease(l.node.Name))
		}
		c := aCluster(t, objects...)
		p, _ := c.aReplica(t)
		p.config.AcceptPlain = true
		p.answers = func(_ context.Context, hosts []netip.Addr, _ time.Duration) (bool, error) {
			return slices.ContainsFunc(nodes, func(l *livingNode) bool {
				return l.from.Addr() == hosts[0] && !l.isDown()
			}), nil
		}
		l := aListener(p)
		for _, n := range nodes {
			p.answering.note(n.node.UID, time.Millisecond)
			l.addresses.set(n.node)
		}
		var lives sync.WaitGroup
		for number, n := range nodes {
			lives.Go(func() { c.renewing(ctx, t, p, n) })
			lives.Go(func() { c.restless(ctx, t, l, n, number) })
		}
		forger, err := forgeries.New(heard, forgeries.NearMisses(aSecret), 1)
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range forgedPanics {
			n := nodes[random.IntN(len(nodes))]
			l.take(ctx, n.from, forger.Next(), l.clock.Now())
			time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond)
		}
		stop()
		lives.Wait()
		for _, n := range nodes {
			n.setDown(false)
		}
		p.work.Wait()
		for _, n := range nodes {
			left := c.node(t, n.node.Name)
			if left == nil {
				t.Fatalf("node %s is gone", n.node.Name)
			}
			if _, marked := termination.MarkedDead(left); marked {
				t.Errorf("node %s is marked dead", n.node.Name)
			}
		}
		if p.judged(verdictDead) != 0 || p.judged(verdictAlive) < 8 ||
			p.judged(verdictForged) < 20 || p.judged(verdictKnown) < 100 {
			t.Errorf(
				"of the forgeries, %v were acted upon, %v refuted, %v seen through and %v added to open cases; want none and many",
				p.judged(verdictDead), p.judged(verdictAlive), p.judged(verdictForged),
				p.judged(verdictKnown))
		}
		for _, n := range nodes {
			p.answering.note(n.node.UID, time.Millisecond)
			n.setDown(true)
			l.take(t.Context(), n.from,
				[]byte(strings.Replace(panicDatagram, ",400,", ",40000,", 1)), l.clock.Now())
		}
		p.work.Wait()
		for _, n := range nodes {
			if c.node(t, n.node.Name) != nil {
				t.Errorf("node %s is left, which has panicked in the end", n.node.Name)
			}
		}
	})
}

// livingNodes returns n nodes; every other one signs.
func livingNodes(n int) (all []*livingNode) {
	for i := range n {
		address := fmt.Sprintf("10.0.0.%d", i+1)
		node := aNode(fmt.Sprintf("n%d", i), address)
		node.Status.NodeInfo.BootID = "boot-1-of-" + node.Name
		if i%2 == 0 {
			node = signed(node)
		}
		all = append(all, &livingNode{node: node,
			from: netip.AddrPortFrom(netip.MustParseAddr(address), 665)})
	}
	return all
}

// renewing renews the node's Lease every ten seconds while its kubelet lives.
func (c *cluster) renewing(ctx context.Context, t *testing.T, p *panicHandler, n *livingNode) {
	for pause.For(ctx, p.clock, 10*time.Second) {
		if !n.isDown() {
			n.renews(t, c, p)
		}
	}
}

// restless restarts the node's kubelet, and now and then the node.
func (c *cluster) restless(ctx context.Context, t *testing.T, l *Listener, n *livingNode,
	number int) {
	p := l.handler
	if !pause.For(ctx, p.clock, time.Duration(20+7*number)*time.Second) {
		return
	}
	for round := 0; ; round++ {
		lasting := []time.Duration{1, 5, 15, 90}[round%4] * time.Second
		n.setDown(true)
		if !pause.For(ctx, p.clock, lasting) {
			return
		}
		if round%4 == 3 {
			c.reboots(t, l, n, fmt.Sprintf("boot-%d-of-%s", round, n.node.Name))
		}
		n.setDown(false)
		n.renews(t, c, p)
		if !pause.For(ctx, p.clock, time.Minute) {
			return
		}
	}
}

// reboots makes the node come back in another boot. If it signs, its agent publishes a new secret's
// hash.
func (c *cluster) reboots(t *testing.T, l *Listener, n *livingNode, bootID string) {
	node := c.node(t, n.node.Name)
	if node == nil {
		t.Errorf("node %s is gone while it reboots", n.node.Name)
		return
	}
	node.Status.NodeInfo.BootID = bootID
	if err := c.client.Status().Update(t.Context(), node); err != nil {
		t.Errorf("boot node %s: %v", node.Name, err)
	}
	if len(node.Annotations) > 0 {
		signed(node)
		if err := c.client.Update(t.Context(), node); err != nil {
			t.Errorf("annotate node %s: %v", node.Name, err)
		}
	}
	l.see(node)
}
