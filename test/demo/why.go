package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// askWhy asks the plugin about two of those who died: one that was cut off, and one whose Job says
// that a disruption is repeatable.
func (st *stage) askWhy(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "epitaph-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the plugin: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := binaries.Product(ctx, st.out, "kubectl-epitaph",
		filepath.Join(dir, "kubectl-epitaph")); err != nil {
		return err
	}
	for _, q := range []struct{ pod, answer string }{
		{"trainer-0", "Unknown: it was running and was cut off, by no fault of its own"},
		{st.victim,
			"Yes, as far as the platform can tell: it was cut off by the platform, and the author of Job " + jobName + " has said"},
	} {
		line := "kubectl epitaph why pod/" + q.pod + " -n " + namespace
		fmt.Fprintf(st.out, "\n$ %s\n", line)
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+st.sandbox.Kubeconfig,
			"PATH="+strings.Join([]string{
				dir, filepath.Dir(st.sandbox.Programs["kubectl"]), os.Getenv("PATH"),
			}, string(os.PathListSeparator)))
		said, err := cmd.CombinedOutput()
		fmt.Fprint(st.out, string(said))
		if err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		if !strings.Contains(string(said), q.answer) {
			return fmt.Errorf("%s does not say %q", line, q.answer)
		}
	}
	return nil
}
