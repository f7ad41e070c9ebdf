//go:build linux

package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
	"github.com/epitaph-k8s/epitaph/test/kernel/initramfs"
	"github.com/epitaph-k8s/epitaph/test/kernel/link"
	"github.com/epitaph-k8s/epitaph/test/kernel/machine"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// The network of a machine by default: the host has the first address, the machine the next one.
var (
	Host = netip.MustParseAddr("10.90.0.1")
	Pods = netip.MustParsePrefix("10.90.1.0/24")
)

const (
	networkBits = 24
	device      = "tapnode"
	// monitorPrompt ends QEMU's "(qemu)".
	monitorPrompt = ')'
	// dumps is memory that Linux leaves alone, and nobody clears at a reset.
	memmap = "1M$256M"
	dumps  = "mem_address=0x10000000,mem_size=0x100000,record_size=0x10000"
)

// Options are what a machine is given.
type Options struct {
	Prepared
	// Name is the node's.
	Name string
	// Host is our address in the machine's network, Pods the network of its pods.
	Host netip.Addr
	Pods netip.Prefix
	// Dir is a folder of the machine's own.
	Dir string
	// Reboots lets the machine come back after a panic, as its kubelet wants it; otherwise it ends.
	Reboots bool
}

func (o Options) address() netip.Addr { return o.Host.Next() }

// A Node runs until Stop.
type Node struct {
	*machine.Machine
	// Alice, who may become root by sudo, and Root are logged in in each boot.
	Alice, Root *machine.Terminal

	o       Options
	tap     *os.File
	monitor string
	client  *kubernetes.Clientset
	boots   int
}

// Start switches a machine on that becomes a node of the sandbox, which has to serve in the cluster
// (sandbox.ServeInCluster). It does not wait for it.
func Start(ctx context.Context, s *sandbox.Sandbox, o Options) (n *Node, err error) {
	n = &Node{o: o, monitor: filepath.Join(o.Dir, "monitor")}
	if n.client, err = kubernetes.NewForConfig(s.RESTConfig()); err != nil {
		return nil, err
	}
	root := filepath.Join(o.Dir, "initramfs")
	if err := o.writeRoot(s, root); err != nil {
		return nil, err
	}
	if n.tap, err = link.Tap(device); err != nil {
		return nil, err
	}
	if err := link.Add(device, netip.PrefixFrom(o.Host, networkBits)); err != nil {
		return nil, errors.Join(err, n.tap.Close())
	}
	lines := []string{filepath.Join(o.Dir, "alice"), filepath.Join(o.Dir, "root")}
	n.Machine, err = machine.Start(machine.Options{
		QEMU: o.QEMU, Kernel: o.Kernel, Initramfs: root, Tap: n.tap, Address: o.address(),
		Memory: "1280M", Processors: 2, Disks: o.Disks, Discard: true, Reboots: o.Reboots,
		Terminals: lines, Monitor: n.monitor,
		Parameters: map[string]string{
			"guest_address": netip.PrefixFrom(o.address(), networkBits).String(),
			"guest_system":  "1", "guest_ramoops": dumps, "memmap": memmap,
			"systemd.wants": target, "systemd.show_status": "0", "loglevel": "4",
		},
	})
	if err != nil {
		return nil, errors.Join(err, n.tap.Close())
	}
	for at, who := range map[string]**machine.Terminal{lines[0]: &n.Alice, lines[1]: &n.Root} {
		if *who, err = machine.OpenTerminal(ctx, at); err != nil {
			n.Stop()
			return nil, err
		}
	}
	return n, nil
}

// writeRoot has the machine join the cluster, and packs its first root.
func (o Options) writeRoot(s *sandbox.Sandbox, to string) error {
	kubeconfig := filepath.Join(o.Dir, "kubeconfig")
	if err := s.JoinNode(o.Name, kubeconfig); err != nil {
		return err
	}
	credentials, err := os.ReadFile(kubeconfig)
	if err != nil {
		return err
	}
	given, err := o.given(credentials)
	if err != nil {
		return err
	}
	return os.WriteFile(to, initramfs.Pack(slices.Concat(o.Files, given)), 0o600)
}

// Stop takes the power away.
func (n *Node) Stop() {
	n.Machine.Stop()
	for _, x := range []*machine.Terminal{n.Alice, n.Root} {
		if x != nil {
			x.Close()
		}
	}
	_ = n.tap.Close()
}

// Boots waits for the next boot, until the node can take pods in it, and people are logged in; and
// returns its ID.
func (n *Node) Boots(ctx context.Context) (bootID string, err error) {
	n.boots++
	line, _, err := n.SaysAgain(ctx, "guest: boot ", n.boots)
	if err != nil {
		return "", err
	}
	_, bootID, _ = strings.Cut(line, "guest: boot ")
	if err := n.ready(ctx, bootID); err != nil {
		return "", err
	}
	return bootID, errors.Join(n.Alice.Sees(ctx, "alice@", n.boots),
		n.Root.Sees(ctx, "root@", n.boots))
}

func (n *Node) ready(ctx context.Context, bootID string) error {
	for {
		node, err := n.client.CoreV1().Nodes().Get(ctx, n.o.Name, metav1.GetOptions{})
		if err == nil && node.Status.NodeInfo.BootID == bootID && isReady(node) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for node %s: %w (%w)", n.o.Name, ctx.Err(), err)
		case <-time.After(poll):
		}
	}
}

func isReady(node *corev1.Node) bool {
	ready := slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	return ready && len(node.Spec.Taints) == 0
}

// Speaks tells whether the agent of that boot has the kernel speak to one listener, and has
// announced what it signs with.
func Speaks(bootID string) func(*corev1.Node) bool {
	return func(node *corev1.Node) bool {
		r, _, err := termination.ReportOf(node)
		return err == nil && r.BootID == bootID && len(r.SpeaksTo) == 1 &&
			strings.Contains(node.Annotations[reason.TokenKey], bootID)
	}
}

// CutOff takes the network cable out of the machine, Reconnect puts it in again.
func (n *Node) CutOff() error { return link.Down(device) }

// Reconnect is the opposite of CutOff.
func (n *Node) Reconnect() error { return link.Up(device) }

// Reset presses the button: the machine boots again, whatever it was doing.
func (n *Node) Reset(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", n.monitor)
	if err != nil {
		return fmt.Errorf("reset the machine: %w", err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "system_reset\n"); err != nil {
		return fmt.Errorf("reset the machine: %w", err)
	}
	// QEMU drops what it has not read when the connection ends. It asks for the next command when it
	// has done this one.
	said := bufio.NewReader(conn)
	for range 2 {
		if _, err := said.ReadString(monitorPrompt); err != nil {
			return fmt.Errorf("reset the machine: %w", err)
		}
	}
	return nil
}

// Describe has the machine say what its programs logged last, and returns all that was to be read
// on it.
func (n *Node) Describe() string {
	err := n.Do("run journalctl --no-pager --lines=60 --unit=kubelet --unit=containerd")
	return fmt.Sprintf("the console (%v):\n%s\nwhat alice saw:\n%s\nwhat root saw:\n%s", err,
		n.Console(), n.Alice.Seen(), n.Root.Seen())
}
