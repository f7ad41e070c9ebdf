package e2e

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/epitaph-k8s/epitaph/reason"
)

// kubectl runs kubectl as alice in a namespace.
func (c *cluster) kubectl(t *testing.T, ns string, args ...string) (string, error) {
	t.Helper()
	args = append([]string{"--kubeconfig", c.Kubeconfig,
		"--as", "alice", "--as-group", "system:masters", "-n", ns}, args...)
	out, err := exec.CommandContext(t.Context(), c.Programs["kubectl"], args...).CombinedOutput()
	return string(out), err
}

// That a person without a reason is denied in each of these ways is TestKubectlDelete's; with one,
// each does what it always did.
func TestKubectlDeletesWithAReason(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	said := reason.Reason{Code: reason.UserRequest,
		Text: "the disk is needed elsewhere", By: "alice"}
	tests := map[string]struct {
		args  []string
		out   string
		stays bool
	}{
		"by-force": {args: []string{"--force"}, out: `pod "by-force" force deleted`},
		"by-force-for-trial": {args: []string{"--force", "--dry-run=server"},
			out: "(server dry run)", stays: true},
		"for-trial": {args: []string{"--dry-run=server"},
			out: "(server dry run)", stays: true},
		"at-once": {args: []string{"--now"}, out: `pod "at-once" deleted`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			shared.pod(t, ns, node, name)
			shared.annotate(t, ns, name, string(said.Text))
			before := shared.alive(t, ns, name)
			out, err := shared.kubectl(t, ns,
				append([]string{"delete", "pod", name}, tc.args...)...)
			if err != nil || !strings.Contains(out, tc.out) {
				t.Fatalf("kubectl ended with %v, and said %q, want %q", err, out, tc.out)
			}
			if !tc.stays {
				shared.leaves(t, reason.Pod, ns+"/"+name, said)
				return
			}
			if after := shared.alive(t, ns, name); after.ResourceVersion != before.ResourceVersion {
				t.Errorf("the trial wrote to the pod: %q", after.Annotations)
			}
		})
	}
}

// A trial by somebody who has to say why ends as the delete would, by force or not, and leaves
// nothing behind.
func TestKubectlTrialWithoutAReason(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	before := shared.pod(t, ns, node, "a")
	for name, args := range map[string][]string{"a trial": {"--dry-run=server"},
		"a trial by force": {"--dry-run=server", "--force"}} {
		out, err := shared.kubectl(t, ns, append([]string{"delete", "pod", "a"}, args...)...)
		if err == nil || !strings.Contains(out,
			`pod a must not leave without a reason (rule "people-say-why"): the reason is empty.`) {
			t.Errorf("%s: kubectl ended with %v: %s", name, err, out)
		}
	}
	if after := shared.alive(t, ns, "a"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the trials wrote to the pod: %q", after.Annotations)
	}
}
