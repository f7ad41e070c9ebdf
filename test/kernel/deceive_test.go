//go:build linux

package kernel

import (
	"context"
	"fmt"
	"net"
	"testing"
)

const (
	// fake is what is said by others than a kernel that panics.
	fake = "Kernel panic - not syncing: fake"
	// strangers is how many datagrams a stranger sends.
	strangers = 2
)

// deceives has everybody but a panicking kernel say that it panics, while the machine lives.
func (c *cluster) deceives(t *testing.T, g *guest) {
	t.Helper()
	before := mustRead(t, g.listener)
	g.forgedByStranger(t)
	for _, command := range []string{"forge " + fake, "print " + fake} {
		if err := g.Do(command); err != nil {
			t.Fatal(err)
		}
	}
	// It is over once the last thing that was said is dealt with.
	over := func(n counts) bool { return n.outcomes["userspace"] > 0 }
	if !g.extended {
		over = func(n counts) bool {
			return n.outcomes["candidate"] > 0 &&
				n.verdicts["alive"]+n.verdicts["dead"] > 0
		}
	}
	var n counts
	c.eventually(t, "the listener has heard the fakes", func(ctx context.Context) (bool, error) {
		now, err := read(ctx, g.listener)
		n = now.since(before)
		return over(n), err
	})
	t.Logf("of the fakes became: datagrams %v, panics %v", n.outcomes, n.verdicts)
	if n.outcomes["unknown-sender"] != strangers {
		t.Errorf("%v datagrams came from unknown senders, want %d", n.outcomes["unknown-sender"],
			strangers)
	}
	if n.verdicts["dead"] > 0 {
		t.Error("the verdict on a living node is death")
	}
	if g.extended && len(n.verdicts)+int(n.outcomes["panic"]+n.outcomes["candidate"]) > 0 {
		t.Error("in the extended format, what is no panic was taken for one")
	}
	c.untouched(t, g.node, g.pods)
}

// forgedByStranger sends perfect panics from an address that is no node's.
func (g *guest) forgedByStranger(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("udp", net.JoinHostPort(g.host.String(), g.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, datagram := range [strangers]string{"0,400,9000000,-;" + fake + "\n",
		"[    9.000000] " + fake + "\n"} {
		if _, err := fmt.Fprint(conn, datagram); err != nil {
			t.Fatal(err)
		}
	}
}
