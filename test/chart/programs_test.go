//go:build linux

package chart

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program is what an image has for a command.
func (c *cluster) program(image string, command []string) (string, error) {
	name := "epitaph"
	if len(command) > 0 {
		name = filepath.Base(command[0])
	}
	_, version, _ := strings.Cut(image, ":")
	file := imageFile(c.dir, version, name)
	if _, err := os.Stat(file); err != nil {
		return "", fmt.Errorf("pull image %s: %w", image, err)
	}
	return file, nil
}

// helm runs Helm as the administrator and returns what it printed.
func (c *cluster) helm(t *testing.T, args ...string) string {
	t.Helper()
	said, err := c.tryHelm(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

func (c *cluster) tryHelm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.Programs["helm"], args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "KUBECACHEDIR="+c.discovery)
	for _, home := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		cmd.Env = append(cmd.Env, home+"="+filepath.Join(c.dir, home))
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	said, err := cmd.Output()
	if err != nil {
		return string(said), fmt.Errorf("helm %s: %w\n%s%s", args[0], err, said,
			complaints.String())
	}
	return string(said), nil
}

// kubectl runs kubectl as the administrator.
func (c *cluster) kubectl(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.Programs["kubectl"],
		append([]string{"--kubeconfig=" + c.Kubeconfig, "--cache-dir=" + c.discovery}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl %s: %v\n%s", args[0], err, said)
	}
}

func (c *cluster) applies(t *testing.T, objects string) {
	t.Helper()
	c.kubectl(t, objects, "apply", "--filename=-")
}
