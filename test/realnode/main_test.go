//go:build linux

package realnode_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/kernel/link"
	"github.com/epitaph-k8s/epitaph/test/realnode"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// insideVariable is set for the process that runs in the network namespace: the folder of what was prepared outside.
const insideVariable = "EPITAPH_TEST_NODE"

// shared is the cluster of every test, with one real node.
var shared *cluster

// TestMain builds what needs the network, and runs the tests again where there is none but their own.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("realnode: skipped by -short: it needs the real control plane and containerd; run make test-node")
		return
	}
	if dir := os.Getenv(insideVariable); dir != "" {
		os.Exit(inside(m, dir))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := realnode.Missing(ctx); err != nil {
		fmt.Println("SKIPPED: the tests on a real kubelet:", err)
		return
	}
	if err := outside(ctx); err != nil {
		fmt.Println("realnode:", err)
		os.Exit(1)
	}
}

func outside(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "epitaph-node-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := prepare(ctx, dir); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVariable+"="+dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	// The kernel kills the child when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

// prepare builds, or finds in the caches, every program and image.
func prepare(ctx context.Context, dir string) error {
	if _, err := binaries.Ensure(ctx, os.Stdout, binaries.ControlPlane, binaries.Tools); err != nil {
		return err
	}
	if _, err := realnode.Prepare(ctx, os.Stdout, dir); err != nil {
		return err
	}
	// The sandbox builds this itself, but not in a namespace that nothing can be downloaded from.
	for _, command := range []string{"epitaph", "kubectl-epitaph"} {
		if err := binaries.Product(ctx, os.Stdout, command, filepath.Join(dir, command)); err != nil {
			return err
		}
	}
	return nil
}

func inside(m *testing.M, dir string) (code int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := time.Now()
	var err error
	if shared, err = startCluster(ctx, dir); err != nil {
		fmt.Println("realnode:", err)
		return 1
	}
	defer shared.stop()
	fmt.Printf("realnode: node ready after %.1f s\n", time.Since(began).Seconds())
	return m.Run()
}

// The node's network: it has the first address, its pods have the rest.
var (
	nodeAddress = netip.MustParseAddr("10.89.0.1")
	podNetwork  = netip.MustParsePrefix("10.89.1.0/24")
)

const nodeName = "real-1"

func startCluster(ctx context.Context, dir string) (*cluster, error) {
	if err := errors.Join(link.Up("lo"), link.Own(1, sandbox.ServiceAddress()), link.Own(2, netip.PrefixFrom(nodeAddress, 32))); err != nil {
		return nil, err
	}
	s, err := sandbox.Start(ctx, sandbox.Options{
		Out: os.Stdout, RealNodes: true, Nodes: []sandbox.NodeSpec{{Name: "played"}}, Epitaph: sandbox.EpitaphOptions{Configure: configure},
	})
	if err != nil {
		return nil, err
	}
	c, err := newCluster(ctx, s, dir)
	if err != nil {
		s.Stop()
	}
	return c, err
}

// configure shortens what tests would otherwise wait for.
func configure(c *config.Config) {
	c.GC.Quarantine = metav1.Duration{Duration: 4 * time.Second}
}
