package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/realnode"
	"github.com/epitaph-k8s/epitaph/test/realnode/vm"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// realLimit bounds a scene, and the boot, of a machine by emulation.
	realLimit = 10 * time.Minute
	// managerNode is where the manager runs.
	managerNode = "manager"
)

// RunReal is Run with Epitaph installed by Helm, in containers, and with a node whose kernel really
// panics: a machine by emulation. It needs what test/realnode needs, and QEMU.
func RunReal(ctx context.Context, out io.Writer) error {
	dir, ok, err := realnode.Entered()
	if err != nil {
		return err
	}
	if ok {
		return runReal(ctx, out, dir)
	}
	if err := errors.Join(realnode.Missing(ctx), vm.Missing()); err != nil {
		return fmt.Errorf("have a real node: %w", err)
	}
	return realnode.Enter(ctx, func(ctx context.Context, dir string) error {
		return prepareReal(ctx, out, dir)
	})
}

// prepareReal builds, or finds in the caches, what the machines are made of.
func prepareReal(ctx context.Context, out io.Writer, dir string) error {
	fmt.Fprintln(out, "Preparing a machine whose kernel will panic:")
	if _, err := binaries.Ensure(ctx, out, binaries.ControlPlane, binaries.Tools,
		binaries.ChartTools); err != nil {
		return err
	}
	node, err := realnode.Prepare(ctx, out, dir)
	if err != nil {
		return err
	}
	image, err := realnode.BuildImage(ctx, dir)
	if err != nil {
		return err
	}
	// askWhy builds it, too, but not where nothing can be downloaded from.
	if err := binaries.Product(ctx, out, "kubectl-epitaph",
		filepath.Join(dir, "kubectl-epitaph")); err != nil {
		return err
	}
	return vm.Prepare(ctx, out, dir, node, image)
}

func runReal(ctx context.Context, out io.Writer, dir string) error {
	began := time.Now()
	fmt.Fprintln(out, "Starting a Kubernetes control plane, seven nodes and Epitaph:")
	var played []sandbox.NodeSpec
	for _, name := range []string{preemptionNode, diskNode, haltNode, cloudNode, spareNode} {
		played = append(played, sandbox.NodeSpec{Name: name})
	}
	s, err := sandbox.Start(ctx, sandbox.Options{Out: out, RealNodes: true, Nodes: played,
		LeaveOutChart: true, Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	if err != nil {
		return err
	}
	defer s.Stop()
	if err := startManagerNode(ctx, out, s, dir); err != nil {
		return err
	}
	k, err := startMachine(ctx, s, dir)
	if err != nil {
		return err
	}
	defer k.Stop()
	if err := k.install(ctx, out, s, dir); err != nil {
		return errors.Join(err, errors.New(k.Describe()))
	}
	return play(ctx, out, &stage{sandbox: s, kernel: k, limit: realLimit}, began)
}

func startManagerNode(ctx context.Context, out io.Writer, s *sandbox.Sandbox, dir string) error {
	if err := s.ServeInCluster(ctx); err != nil {
		return err
	}
	prepared, err := realnode.Prepare(ctx, out, dir)
	if err != nil {
		return err
	}
	own := filepath.Join(dir, managerNode)
	if err := os.MkdirAll(own, 0o755); err != nil {
		return err
	}
	_, err = realnode.Start(ctx, s, realnode.Options{
		Prepared: prepared, Name: managerNode, Address: realnode.Address, Pods: realnode.Pods,
		Dir: own, Images: []string{realnode.ImageIn(dir)},
	})
	return err
}

// A real kernel is that of a machine.
type realKernel struct {
	*vm.Node
	bootID string
}

func startMachine(ctx context.Context, s *sandbox.Sandbox, dir string) (*realKernel, error) {
	prepared, err := vm.ReadPrepared(dir)
	if err != nil {
		return nil, err
	}
	own := filepath.Join(dir, panicNode)
	if err := os.MkdirAll(own, 0o755); err != nil {
		return nil, err
	}
	node, err := vm.Start(ctx, s, vm.Options{Prepared: prepared, Name: panicNode, Host: vm.Host,
		Pods: vm.Pods, Dir: own})
	return &realKernel{Node: node}, err
}

// install waits for the boot, and installs Epitaph.
func (k *realKernel) install(ctx context.Context, out io.Writer, s *sandbox.Sandbox,
	dir string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, realLimit)
	defer cancel()
	began := time.Now()
	if k.bootID, err = k.Boots(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "  %-24s %5.1f s\n", "boot "+panicNode, time.Since(began).Seconds())
	began = time.Now()
	checkout, err := binaries.Checkout()
	if err != nil {
		return err
	}
	if _, err := realnode.Helm(ctx, s, dir, append([]string{"install", "epitaph",
		filepath.Join(checkout, "charts", "epitaph")},
		realnode.Values("epitaph-system", managerNode, panicNode)...)...); err != nil {
		return err
	}
	fmt.Fprintf(out, "  %-24s %5.1f s\n", "install Epitaph", time.Since(began).Seconds())
	return nil
}

// announce waits until the agent has announced it.
func (k *realKernel) announce(ctx context.Context, st *stage) error {
	return st.until(ctx, "the agent has the kernel speak", func(ctx context.Context) (bool, error) {
		node, err := st.client.CoreV1().Nodes().Get(ctx, panicNode, metav1.GetOptions{})
		return err == nil && vm.Speaks(k.bootID)(node), nil
	})
}

func (k *realKernel) panic(ctx context.Context, st *stage) (time.Time, error) {
	const command = "echo c > /proc/sysrq-trigger"
	st.say("root@%s# %s", panicNode, command)
	if err := k.Root.Type(command); err != nil {
		return time.Time{}, err
	}
	line, at, err := k.SaysAgain(ctx, "Kernel panic - not syncing: ", 1)
	st.say("its console: %s", line)
	return at, err
}
