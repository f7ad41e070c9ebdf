//go:build linux

package chart

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// insideVariable is set for the process that runs in the network namespace: the folder of what was
// prepared outside.
const insideVariable = "EPITAPH_TEST_CHART"

// TestChart builds what needs the network, and runs itself again where there is none but its own.
func TestChart(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: kube-apiserver, helm and cert-manager are missing, which " +
			"make test-chart builds")
	}
	if dir := os.Getenv(insideVariable); dir != "" {
		inside(t, dir)
		return
	}
	if err := inNamespace(exec.CommandContext(t.Context(), "true")).Run(); err != nil {
		// Without -v, nobody would read that a test was skipped.
		because := fmt.Sprintf("SKIPPED: a network namespace is missing: unshare says %v", err)
		fmt.Println(because)
		t.Skip(because)
	}
	dir := t.TempDir()
	if err := prepare(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	cmd := inNamespace(exec.CommandContext(t.Context(), os.Args[0],
		"-test.run=^TestChart$", "-test.v", "-test.timeout=25m"))
	cmd.Env = append(os.Environ(), insideVariable+"="+dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	// The kernel kills the child when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		t.Errorf("run the test in a network namespace: %v", err)
	}
}

// inNamespace gives the command a network of its own, and to whoever is not root a user namespace
// in which he is.
func inNamespace(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET,
		Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{
			{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{
			{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return cmd
}

// prepare builds, or finds in the caches, every program.
func prepare(ctx context.Context, dir string) error {
	if _, err := binaries.Ensure(ctx, os.Stdout, binaries.ControlPlane, binaries.Tools,
		binaries.ChartTools); err != nil {
		return err
	}
	if _, err := sandbox.MonitoringDefinitions(ctx); err != nil {
		return err
	}
	if _, err := gatewayDefinitions(ctx); err != nil {
		return err
	}
	for _, p := range []struct{ command, version string }{
		{"epitaph", appVersion}, {"kubectl-epitaph", appVersion}, {"epitaph", nextVersion},
	} {
		if err := binaries.ProductVersion(ctx, os.Stdout, p.command, p.version,
			imageFile(dir, p.version, p.command)); err != nil {
			return err
		}
	}
	return nil
}

// imageFile is where the program is that an image of that version has at its root.
func imageFile(dir, version, command string) string {
	return filepath.Join(dir, "images", version, command)
}

// inside is one cluster's life with Epitaph. Each step needs those before it.
func inside(t *testing.T, dir string) {
	c := startCluster(t, dir)
	for _, step := range []struct {
		name string
		do   func(*testing.T, *cluster)
	}{
		{"lint", lint},
		{"a change replaces the pods that read it", rollouts},
		{"what owners add to pods", ownPods},
		{"callers that cannot be told apart", callersToBelieve},
		{"the API server accepts what is rendered", rendered},
		{"install", install},
		{"critical pods need a quota", criticalPods},
		{"the certificate is issued and trusted", trusted},
		{"deletes go through the Service", deletes},
		{"an archive stores and tells what leaves", archived},
		{"helm test", examined},
		{"what cert-manager says is told", issuance},
		{"upgrade to Fail", upgradeToFail},
		{"the certificate is renewed", renewed},
		{"a replica is deleted", deleted},
		{"a replica is killed", killed},
		{"upgrade to another program", upgradeProgram},
		{"rollback", rollback},
		{"a replica is killed, and deletions pass", killedOpen},
		{"helm test finds what is broken", illnesses},
		{"a wrong certificate is talked about", wrong},
		{"another source of certificates", anotherSource},
		{"uninstall", uninstall},
		{"definitions are upgraded", definitions},
		{"an issuer of the cluster's", corporateIssuer},
		{"a certificate of one's own", ownCertificate},
		{"without cert-manager", withoutCertManager},
		{"the deployment goes first", deploymentFirst},
		{"cert-manager goes first", certManagerFirst},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.do(t, c) }) {
			t.Fatalf("step %q has failed: those after it need it", step.name)
		}
	}
}
