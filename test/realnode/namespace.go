//go:build linux

package realnode

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/epitaph-k8s/epitaph/test/kernel/link"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// insideVariable is set for the process that runs in the network namespace: the folder of what was
// prepared outside.
const insideVariable = "EPITAPH_TEST_NODE"

// The network of a test: the node has the address, its pods have the others.
var (
	Address = netip.MustParseAddr("10.89.0.1")
	Pods    = netip.MustParsePrefix("10.89.1.0/24")
)

// Main is for TestMain: it has Enter prepare, and inside do the rest where that leads to. It returns
// the exit code. Where a node cannot be had, it says so.
func Main(prepare func(ctx context.Context, dir string) error,
	inside func(ctx context.Context, dir string) int) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if dir, ok, err := Entered(); err != nil {
		fmt.Println("realnode:", err)
		return 1
	} else if ok {
		return inside(ctx, dir)
	}
	if err := Missing(ctx); err != nil {
		fmt.Println("SKIPPED: the tests on a real kubelet:", err)
		return 0
	}
	if err := Enter(ctx, prepare); err != nil {
		fmt.Println("realnode:", err)
		return 1
	}
	return 0
}

// Entered tells whether this process is one that Enter has started; then it has a network of its
// own, and the folder holds what was prepared.
func Entered() (dir string, ok bool, err error) {
	if dir = os.Getenv(insideVariable); dir == "" {
		return "", false, nil
	}
	return dir, true, setUpNetwork()
}

// Enter prepares what needs the network, in a folder that is removed at the end, and runs this
// program again, with the same arguments, in a network namespace of its own. The end of ctx is a
// SIGTERM there.
func Enter(ctx context.Context, prepare func(ctx context.Context, dir string) error) error {
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
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	// A terminal's interrupt is for us alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET,
		Pdeathsig: syscall.SIGKILL, Setpgid: true}
	// The kernel kills the child when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

func setUpNetwork() error {
	return errors.Join(link.Up("lo"), link.Own(1, sandbox.ServiceAddress()),
		link.Own(2, netip.PrefixFrom(Address, 32)))
}
