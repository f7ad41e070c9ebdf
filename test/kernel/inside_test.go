//go:build linux

package kernel

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A form is how kernels send, and which listener hears it.
type form struct {
	name     string
	extended bool
	network  string // one for each machine, of which %d is the number
	bits     int
}

var forms = []form{
	{name: "extended_ipv4", extended: true, network: "10.77.%d.", bits: 24},
	{name: "extended_ipv6", extended: true, network: "fd00:77:%d::", bits: 64},
	{name: "plain_ipv4", network: "10.78.%d.", bits: 24},
}

// A cause of death: what the guest is told, and what its kernel says of it.
type cause struct{ command, line string }

var causes = []cause{
	{"sysrq", "sysrq triggered crash"},
	{"init", "Attempted to kill init! exitcode=0x00000700"},
	{"oom", "Out of memory: system-wide panic_on_oom is enabled"},
	{"oops", "Fatal exception"},
}

func inside(t *testing.T, dir string) {
	p := begin(t, dir)
	c := startCluster(t)
	t.Run("deaths", func(t *testing.T) {
		for n, f := range forms {
			for m, s := range causes {
				t.Run(f.name+"/"+s.command, func(t *testing.T) {
					number := n*len(causes) + m + 1
					var liar *guest
					if m == 0 {
						// Before the others are there: what its listener counts is then about this
						// machine alone.
						liar = c.boot(t, p, f, number)
						c.deceives(t, liar)
					}
					t.Parallel()
					leave := takeSeat(t)
					g := liar
					if g == nil {
						g = c.boot(t, p, f, number)
					}
					c.removes(t, g, s, leave)
				})
			}
		}
	})
	t.Run("the bystander", func(t *testing.T) { c.untouched(t, "bystander", nil) })
}

// removes has the kernel panic, and looks at how its node and its pods leave. It calls died as soon
// as the machine is dead.
func (c *cluster) removes(t *testing.T, g *guest, s cause, died func()) {
	t.Helper()
	before := mustRead(t, g.listener)
	t.Cleanup(func() {
		if now, err := read(context.WithoutCancel(t.Context()), g.listener); err == nil &&
			t.Failed() {
			n := now.since(before)
			t.Logf("of the kernel's last words became: datagrams %v, panics %v", n.outcomes,
				n.verdicts)
		}
	})
	if err := g.Order(s.command); err != nil {
		t.Fatal(err)
	}
	panicked := g.waitFor(t, "Kernel panic - not syncing: "+s.line)
	died()
	// The machine's own kubelet died with it; this is the one that kwok plays.
	if err := c.StopKubelet(t.Context(), g.node); err != nil {
		t.Fatal(err)
	}
	var last time.Duration
	for _, pod := range g.pods {
		d := c.leaves(t, reason.Pod, "default/"+pod,
			reason.Text("This pod died unexpectedly because the underlying node kernel panicked! ("+
				s.line+")"))
		last = max(last, d.At.Sub(panicked))
	}
	node := c.leaves(t, reason.Node, g.node,
		reason.Text("This node died unexpectedly because its kernel panicked! ("+s.line+")"))
	fmt.Printf("RESULT kernel_%s_%s_last_pod_s %.2f s\n", g.name, s.command, last.Seconds())
	fmt.Printf("RESULT kernel_%s_%s_node_s %.2f s\n", g.name, s.command,
		node.At.Sub(panicked).Seconds())
}
