package e2e

import (
	"strings"
	"testing"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// hostile is what somebody writes who wants a terminal or a browser to obey. A custom resource takes it.
const hostile = "\x1b[2J\x1b]0;owned\a<script>alert(1)</script>\u202e\u009b31m\r\nNode fine, all is well"

func TestPluginShowsHostileContentAndObeysNothing(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	node := &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: unique("hostile")}}
	node.Spec = v1alpha1.NodeObituarySpec{
		NodeName: node.Name, Left: leftAt, Code: "KernelPanic", Class: "disruption", Reason: hostile, By: hostile, KernelLog: []string{hostile},
		Evidence: []v1alpha1.Evidence{{What: hostile, Who: hostile, Detail: hostile, When: leftAt}},
	}
	shared.record(t, node, obituary(namespace, "victim", func(s *v1alpha1.PodObituarySpec) {
		s.Reason, s.By, s.Code, s.NodeObituary = hostile, hostile, "Odd\x1b[2J", node.Name
		s.Owners = []v1alpha1.Owner{{Kind: "K\x1b[1m", Name: hostile}}
		s.Containers[0].Name, s.Containers[0].Why = "m\x1b[1m", hostile
		s.Containers[0].State, s.Containers[0].ExitCode = v1alpha1.Exited, ptr.To(int32(1))
	}))
	for _, args := range [][]string{
		{"why", "pod/victim"}, {"why", "pod/victim", "-o", "json"}, {"why", "pod/victim", "-o", "yaml"}, {"why", "node/" + node.Name},
		{"list"}, {"list", "-o", "wide"}, {"list", "-o", "json"}, {"list", "-o", "yaml"}, {"list", "nodes", "--node", node.Name},
		{"panics", node.Name}, {"panics", node.Name, "-o", "yaml"}, {"__complete", "why", "pod/"},
	} {
		got := shared.plugin(t, append(args, "-n", namespace)...)
		if got.code != 0 || got.out == "" {
			t.Errorf("%v said %+v", args, got)
		}
		if i := strings.IndexFunc(strings.ReplaceAll(got.out, "\n", ""), obeyed); i >= 0 {
			t.Errorf("%v lets a terminal obey %q", args, got.out)
		}
		if strings.Contains(got.out, "\nNode fine") {
			t.Errorf("%v lets what others wrote pass for a line of its own:\n%s", args, got.out)
		}
	}
}

func obeyed(r rune) bool {
	return unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r == '\u2028' || r == '\u2029'
}
