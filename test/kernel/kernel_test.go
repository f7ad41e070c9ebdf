//go:build linux

package kernel

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/epitaph-k8s/epitaph/test/kernel/debian"
)

// insideVariable is set for the process that runs in the network namespace: the folder of what was
// prepared outside.
const insideVariable = "EPITAPH_TEST_KERNEL"

// TestKernel prepares what needs the network, and runs itself again where there is none but its
// own.
func TestKernel(t *testing.T) { withKernel(t, fetched.prepare, inside) }

// errNotHere says that what a test needs cannot be got on this machine.
var errNotHere = errors.New("not to be had here")

// withKernel has a test prepare what needs the network, and runs the rest of it in a network
// namespace of its own.
func withKernel(t *testing.T, prepare func(fetched, context.Context, io.Writer, string) error,
	inside func(t *testing.T, dir string)) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: kube-apiserver and QEMU are missing, which make test-kernel has")
	}
	if dir := os.Getenv(insideVariable); dir != "" {
		inside(t, dir)
		return
	}
	if missing := missing(t); missing != "" {
		skip(t, "it misses "+missing)
	}
	dir := t.TempDir()
	f, err := fetch(t.Context(), os.Stdout)
	switch {
	case err != nil && os.Getenv(debian.PackagesVariable) != "":
		t.Fatal(err)
	case err != nil:
		skip(t, err.Error())
	}
	err = prepare(f, t.Context(), os.Stdout, dir)
	switch {
	case errors.Is(err, errNotHere):
		skip(t, err.Error())
	case err != nil:
		t.Fatal(err)
	}
	// Machines that are at work are limited by takeSeat; those that wait for their removal are not.
	cmd := inNamespace(exec.CommandContext(t.Context(), os.Args[0],
		"-test.run="+onlyOf(t.Name(), runFlag()), "-test.v", "-test.timeout=20m",
		"-test.parallel=16"))
	cmd.Env = append(os.Environ(), insideVariable+"="+dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	// The kernel kills the child when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		t.Errorf("run the test in a network namespace: %v", err)
	}
}

// runFlag is what -run said.
func runFlag() string {
	if f := flag.Lookup("test.run"); f != nil {
		return f.Value.String()
	}
	return ""
}

// onlyOf selects a test, and of it what the pattern of -run selects beyond the test's own name.
func onlyOf(test, pattern string) string {
	only := "^" + test + "$"
	if _, parts, ok := strings.Cut(pattern, "/"); ok {
		only += "/" + parts
	}
	return only
}

func inNamespace(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET,
		Pdeathsig: syscall.SIGKILL}
	return cmd
}

// missing says what is not there that cannot be fetched; empty if nothing is missing.
func missing(t *testing.T) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		return "a kernel and a guest for " + runtime.GOARCH
	}
	if os.Geteuid() != 0 {
		return "root, who may make network devices and install packages"
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return err.Error()
	}
	if err := inNamespace(exec.CommandContext(t.Context(), "true")).Run(); err != nil {
		return "a network namespace: " + err.Error()
	}
	return debian.Missing()
}

// skip says so aloud: without -v, nobody would read that a test was skipped.
func skip(t *testing.T, because string) {
	t.Helper()
	fmt.Println("SKIPPED: the test on a real kernel:", because)
	t.Skip(because)
}
