//go:build linux

// Command init is a node within a machine: the first process in namespaces of its own (mounts,
// processes, host name, cgroups), with containerd and the kubelet as its children. The network is
// that of whoever starts it.
//
//	init PLAN
//
// It runs twice. The outer process makes a cgroup for the node and starts the inner one in the new
// namespaces; the inner one is their process 1, so the kernel ends every container when it ends.
// SIGTERM to the outer process switches the node off, as a power cut does; it then removes the
// cgroup. Nothing of the node is left on the machine, and nothing of the machine is changed: /var
// and /run are the node's own, and what the kubelet would set for the whole machine in /proc/sys is
// hidden from it.
//
// What this program does not do: set up networks or certificates.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/epitaph-k8s/epitaph/test/realnode/plan"
)

// innerVariable is set for the process in the namespaces.
const innerVariable = "EPITAPH_NODE_INIT"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: init PLAN")
		os.Exit(2)
	}
	p, err := plan.Read(os.Args[1])
	if err == nil {
		if os.Getenv(innerVariable) != "" {
			err = inner(p)
		} else {
			err = outer(p)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		os.Exit(1)
	}
}

// outer returns when the node is off and its cgroup is gone.
func outer(p plan.Plan) (err error) {
	// The kernel kills the child when the thread that started it ends.
	runtime.LockOSThread()
	off := make(chan os.Signal, 1)
	signal.Notify(off, syscall.SIGTERM, syscall.SIGINT)
	own, err := makeCgroups(p.Cgroup)
	defer func() { err = errors.Join(err, own.remove()) }()
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), innerVariable+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP,
		Pdeathsig:  syscall.SIGKILL,
	}
	// What the child sees as the root of its cgroups is where its parent is at that moment.
	if err := own.enter(); err != nil {
		return err
	}
	started := cmd.Start()
	if err := errors.Join(started, own.leave()); err != nil {
		return fmt.Errorf("start node %s: %w", p.Name, err)
	}
	var end error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		end = cmd.Wait()
	}()
	select {
	case <-ended:
		return fmt.Errorf("node %s ended: %w", p.Name, end)
	case <-off:
		_ = cmd.Process.Kill()
		<-ended // and with it every process of the namespace
		return nil
	}
}
