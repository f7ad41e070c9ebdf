//go:build linux

package kernel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/test/kernel/link"
	"github.com/epitaph-k8s/epitaph/test/kernel/machine"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// A guest is a machine that is a node, with its pods.
type guest struct {
	*machine.Machine
	form
	node     string
	pods     []string
	listener *sandbox.Epitaph
	// host is our address in the guest's network, and port where the listener hears.
	host netip.Addr
	port string
}

// boot starts a machine and makes it a node that the listener knows to answer.
func (c *cluster) boot(t *testing.T, p prepared, f form, number int) *guest {
	t.Helper()
	g := &guest{form: f, node: fmt.Sprintf("guest-%d", number), listener: c.Epitaph}
	if !f.extended {
		g.listener = c.plain
	}
	var err error
	if _, g.port, err = net.SplitHostPort(g.listener.Config.Netconsole.Address); err != nil {
		t.Fatal(err)
	}
	network := fmt.Sprintf(f.network, number)
	g.host = netip.MustParseAddr(network + "1")
	own := netip.PrefixFrom(netip.MustParseAddr(network+"2"), f.bits)
	g.powerOn(t, p, own, "tap"+strconv.Itoa(number))
	if _, err := c.AddNode(t.Context(), sandbox.NodeSpec{Name: g.node,
		Address: own.Addr()}); err != nil {
		t.Fatal(err)
	}
	g.pods = c.fill(t, g.node)
	// The listeners have asked whether it answers, twice each.
	g.waitFor(t, "guest: greeted 4")
	return g
}

// powerOn returns when the machine is ready.
func (g *guest) powerOn(t *testing.T, p prepared, own netip.Prefix, device string) {
	t.Helper()
	tap, err := link.Tap(device)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tap.Close() })
	if err := link.Add(device, netip.PrefixFrom(g.host, own.Bits())); err != nil {
		t.Fatal(err)
	}
	ours, err := net.InterfaceByName(device)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	g.Machine, err = machine.Start(machine.Options{
		QEMU: p.QEMU, Kernel: p.Kernel, Initramfs: p.Initramfs, Tap: tap, Address: own.Addr(),
		Parameters: map[string]string{
			"guest_address": own.String(), "guest_listener": g.host.String(),
			"guest_listener_mac":  ours.HardwareAddr.String(),
			"guest_listener_port": g.port, "guest_panic": panicTimeout(p.Release),
			"guest_extended": map[bool]string{true: "1", false: "0"}[g.extended],
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Logf("the console of %s:\n%s", g.node, g.Console())
		}
	})
	g.waitFor(t, "guest: ready")
	t.Logf("booted in %.1f s", time.Since(began).Seconds())
}

// panicTimeout is what the kubelet sets kernel.panic to, wherever a kernel can say that it panics
// under it: from Linux 7.0 on netconsole is silent unless it is 0 (docs/kernels.md).
func panicTimeout(release string) string {
	major, _, _ := strings.Cut(release, ".")
	if n, err := strconv.Atoi(major); err != nil || n >= 7 {
		return "0"
	}
	return "10"
}

func (g *guest) waitFor(t *testing.T, words string) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	at, err := g.Says(ctx, words)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
