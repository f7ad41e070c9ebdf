//go:build linux

package kernel

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/kernel/initramfs"
	"github.com/epitaph-k8s/epitaph/test/kernel/link"
	"github.com/epitaph-k8s/epitaph/test/kernel/machine"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	signedNode = "signed"
	// signedAddress is where the listener of the machine that signs hears it, and signedFile the
	// agent's configuration: it knows who listens, and announces the token as everywhere.
	signedAddress = "10.82.1.1:6668"
	signedFile    = `{"apiVersion": "config.epitaph-k8s.io/v1alpha1", "kind": "Configuration", "agent": {"period": "1s", "listeners": ["` + signedAddress + `"]}}`
	// unhurried is longer than patience: a panic that is not signed is not acted upon by that
	// listener while the test lasts.
	unhurried = 10 * time.Minute
	// restart is how long the kubelet of the machine that signs is silent.
	restart = 15 * time.Second
)

// TestSigned has a kernel panic whose words carry the token that the agent has announced, which is
// acted upon at once; and one of the same release whose words do not, which waits for the Lease.
// Before, processes of the first machine lie about it.
func TestSigned(t *testing.T) { withKernel(t, fetched.prepareSigned, signedInside) }

func (f fetched) prepareSigned(ctx context.Context, out io.Writer, dir string) error {
	cache, err := binaries.CacheDir()
	if err != nil {
		return err
	}
	if f.kernel, err = f.kernel.FetchSigning(ctx, out, cache); err != nil {
		return fmt.Errorf("%w: %w", errNotHere, err)
	}
	if err := f.prepare(ctx, out, dir); err != nil {
		return err
	}
	epitaph, err := buildStatic(ctx, filepath.Join(dir, "static"), "../../cmd/epitaph")
	if err != nil {
		return err
	}
	return writeInitramfs(ctx, f.kernel, filepath.Join(dir, "initramfs"),
		initramfs.File{Name: "epitaph", Mode: initramfs.Regular | 0o755, Content: epitaph},
		initramfs.File{Name: "signed.yaml", Mode: initramfs.Regular | 0o644,
			Content: []byte(signedFile)})
}

func signedInside(t *testing.T, dir string) {
	p := begin(t, dir)
	c := startCluster(t)
	t.Run("panics", func(t *testing.T) {
		t.Run("signed", func(t *testing.T) {
			t.Parallel()
			g := c.bootSigning(t, p)
			c.survivesLies(t, g)
			c.removes(t, g, causes[0], func() {})
		})
		t.Run("unsigned", func(t *testing.T) {
			t.Parallel()
			g := c.boot(t, p, form{name: "unsigned_ipv4", extended: true,
				network: "10.83.%d.", bits: 24}, 1)
			c.removes(t, g, causes[0], func() {})
		})
	})
	t.Run("the bystander", func(t *testing.T) { c.untouched(t, "bystander", nil) })
}

// bootSigning starts a machine whose netconsole the agent sets up, and makes it a node that its
// listener knows to answer. That one does not wait for Leases: what it removes was signed.
func (c *cluster) bootSigning(t *testing.T, p prepared) *guest {
	t.Helper()
	const device = "tap99"
	at := netip.MustParseAddrPort(signedAddress)
	g := &guest{form: form{name: "signed_ipv4", extended: true}, node: signedNode, host: at.Addr()}
	tap, err := link.Tap(device)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tap.Close() })
	if err := link.Add(device, netip.PrefixFrom(g.host, 24)); err != nil {
		t.Fatal(err)
	}
	g.listener, err = c.AddEpitaph(t.Context(),
		sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			listening(k, fmt.Sprintf(":%d", at.Port()))
			k.Netconsole.ProofOfDeath.MissedRenewal = metav1.Duration{Duration: unhurried}
			k.Netconsole.ProofOfDeath.MaxReboot = metav1.Duration{Duration: unhurried}
		}})
	if err != nil {
		t.Fatal(err)
	}
	own := netip.PrefixFrom(g.host.Next(), 24)
	g.Machine, err = machine.Start(machine.Options{
		QEMU: p.QEMU, Kernel: p.Kernel, Initramfs: p.Initramfs, Tap: tap, Address: own.Addr(),
		Memory: "512M",
		Parameters: map[string]string{"guest_address": own.String(),
			"guest_panic": panicTimeout(p.Release)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Logf("the console of %s:\n%s", g.node, g.Console())
			if log, err := g.listener.Logs(); err == nil {
				t.Logf("its listener:\n%s", log[max(0, len(log)-6000):])
			}
		}
	})
	if _, err := c.AddNode(t.Context(), sandbox.NodeSpec{Name: g.node,
		Address: own.Addr()}); err != nil {
		t.Fatal(err)
	}
	g.pods = c.fill(t, g.node)
	g.waitFor(t, "guest: ready")
	c.announces(t, g, at)
	return g
}

// announces starts the agent, and waits until the API knows of the kernel's token, and the listener
// has asked whether the node answers.
func (c *cluster) announces(t *testing.T, g *guest, listener netip.AddrPort) {
	t.Helper()
	line, _, err := g.SaysAgain(t.Context(), "guest: boot ", 1)
	if err != nil {
		t.Fatal(err)
	}
	_, bootID, _ := strings.Cut(line, "guest: boot ")
	status := fmt.Appendf(nil, `{"status":{"nodeInfo":{"bootID":%q}}}`, bootID)
	if _, err := c.client.CoreV1().Nodes().Patch(t.Context(), g.node, types.StrategicMergePatchType,
		status, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"put /kubeconfig " + c.kubeconfig(t, g.node, c.forward(t, g.host.String()+":0")),
		"follow --node " + g.node + " --kubeconfig /kubeconfig --config /signed.yaml",
	} {
		if err := g.Do(command); err != nil {
			t.Fatal(err)
		}
	}
	c.eventually(t, "the agent has announced the token, and has the kernel speak to the listener",
		func(context.Context) (bool, error) {
			speaksTo := c.report(t, g.node).SpeaksTo
			_, told := config.TokenOfBoot(c.nodeNow(t, g.node).Annotations[reason.TokenKey], bootID)
			return told && len(speaksTo) == 1 && speaksTo[0] == listener.String(), nil
		})
	// Three listeners ask; each has by then, and again since.
	g.waitFor(t, "guest: greeted 12")
}

// survivesLies has processes of the machine say that its kernel panics, without its token and with
// a wrong one, while its kubelet restarts.
func (c *cluster) survivesLies(t *testing.T, g *guest) {
	t.Helper()
	before := mustRead(t, g.listener)
	lie := "0,5000,900000000,-;" + fake + "\n"
	if err := g.Do("hush on"); err != nil {
		t.Fatal(err)
	}
	if err := c.StopKubelet(t.Context(), g.node); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{lie, lie + " " + config.TokenUserdata + "=guessed\n"} {
		if err := g.Do(fmt.Sprintf("say %s %q", signedAddress, d)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(restart)
	c.untouched(t, g.node, g.pods)
	if err := g.Do("hush off"); err != nil {
		t.Fatal(err)
	}
	if err := c.ResumeKubelet(t.Context(), g.node); err != nil {
		t.Fatal(err)
	}
	var n counts
	c.eventually(t, "the lies are refuted", func(ctx context.Context) (bool, error) {
		now, err := read(ctx, g.listener)
		n = now.since(before)
		return n.verdicts["alive"] == 1 && n.verdicts["forged"] == 1, err
	})
	t.Logf("of the lies became: datagrams %v, panics %v", n.outcomes, n.verdicts)
	if n.verdicts["dead"] > 0 {
		t.Error("the verdict on a living node is death")
	}
	c.untouched(t, g.node, g.pods)
}
