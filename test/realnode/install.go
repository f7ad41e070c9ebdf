//go:build linux

package realnode

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// version is the chart's, and hence the tag that it asks for.
const version = "0.1.0"

// BuildImage builds the product's image as `make image` does, for this platform alone, and returns
// the path of its archive in the folder.
func BuildImage(ctx context.Context, dir string) (string, error) {
	checkout, err := binaries.Checkout()
	if err != nil {
		return "", err
	}
	builder := filepath.Join(dir, "image")
	for _, cmd := range []*exec.Cmd{
		exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(checkout, "image"),
			"-o", builder, "."),
		exec.CommandContext(ctx, builder, "build", "--checkout", checkout, "--out", dir,
			"--version", version, "--platform", "linux/"+runtime.GOARCH),
	} {
		if said, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build the image: %w\n%s", err, said)
		}
	}
	return ImageIn(dir), nil
}

// ImageIn is where BuildImage puts the archive.
func ImageIn(dir string) string { return filepath.Join(dir, "epitaph.oci.tar") }

// Values are Helm's arguments with which the chart is installed, for a manager on one node, and an
// agent on another.
func Values(namespace, manager, agent string) []string {
	return []string{
		"--namespace", namespace, "--create-namespace", "--wait", "--timeout=10m", "--set",
		"replicas=1,certificates.mode=helm,image.pullPolicy=Never,agent.enabled=true",
		"--set", `nodeSelector.kubernetes\.io/hostname=` + manager,
		"--set", `agent.nodeSelector.kubernetes\.io/hostname=` + agent,
	}
}

// Helm runs Helm as the sandbox's administrator, and returns what it printed. It keeps its files in
// the folder.
func Helm(ctx context.Context, s *sandbox.Sandbox, dir string, args ...string) (string, error) {
	paths, err := binaries.Ensure(ctx, os.Stdout, binaries.ChartTools)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, paths["helm"], args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Kubeconfig,
		"KUBECACHEDIR="+filepath.Join(dir, "discovery"))
	for _, home := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		cmd.Env = append(cmd.Env, home+"="+filepath.Join(dir, home))
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	said, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("helm %s: %w\n%s%s", args[0], err, said, complaints.String())
	}
	return string(said), nil
}
