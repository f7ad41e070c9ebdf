package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// askWhy asks the plugin about two of those who died: one that was cut off, and one whose Job says
// that a disruption is repeatable; and about the first again when only an archive knows it.
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
	const cutOff = "Unknown: it was running and was cut off, by no fault of its own"
	for _, q := range []question{
		{"trainer-0", cutOff},
		{st.victim,
			"Yes, as far as the platform can tell: it was cut off by the platform, and the author of Job " + jobName + " has said"},
	} {
		if err := st.ask(ctx, dir, q); err != nil {
			return err
		}
	}
	if st.sandbox.Epitaph == nil {
		return nil // a whole node's cluster has no archive
	}
	began := time.Now()
	if err := st.archive(ctx, dir, "trainer-0"); err != nil {
		return err
	}
	fmt.Fprintf(st.out,
		"\nThe records expire, and go once they are archived (%.1f s, SQLite). The archive still answers:\n",
		time.Since(began).Seconds())
	return st.ask(ctx, dir, question{"trainer-0", cutOff})
}

// A question is about a pod that is gone; the answer must be in what the plugin says.
type question struct{ pod, answer string }

// ask asks the plugin, which is in the folder.
func (st *stage) ask(ctx context.Context, dir string, q question) error {
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
	return nil
}
