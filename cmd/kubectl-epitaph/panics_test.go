package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

func TestLastWords(t *testing.T) {
	t.Parallel()
	found := &v1alpha1.Amendment{From: "systemd-pstore", At: metav1.NewTime(noon)}
	tests := map[string]struct {
		change func(*v1alpha1.NodeObituarySpec)
		want   string
	}{
		"heard": {func(s *v1alpha1.NodeObituarySpec) {
			s.KernelLog = []string{"Kernel panic - not syncing: \x1b[2J", " panic+0x118"}
		},
			"Node n1 left 5m ago: its kernel panicked\n  Heard from the kernel as it died.\n  | Kernel panic - not syncing: \\x1b[2J\n  | panic+0x118\n\n"},
		"heard, and no more of it": {func(*v1alpha1.NodeObituarySpec) {},
			"Node n1 left 5m ago: its kernel panicked\n  Heard from the kernel as it died.\n  (none of its lines arrived beside the panic itself)\n\n"},
		"found, the node is gone": {func(s *v1alpha1.NodeObituarySpec) {
			s.Amended, s.By, s.KernelLog = found, "kernel of node n1", []string{"a"}
		},
			"Node n1 left 5m ago: its kernel panicked\n  Found after the restart, in systemd-pstore: nobody heard the kernel.\n  | a\n\n"},
		"found, the node is back": {func(s *v1alpha1.NodeObituarySpec) {
			s.Amended, s.By,
				s.Returned = found, "kernel of node n1", true
		},
			"Node n1 went down 5m ago, and came back: its kernel panicked\n  Found after the restart, in systemd-pstore: nobody heard the kernel.\n  (systemd-pstore had kept none of its lines)\n\n"},
		"found in the cloud's console": {func(s *v1alpha1.NodeObituarySpec) {
			s.Amended, s.KernelLog = &v1alpha1.Amendment{From: "aws api"}, []string{"a"}
		},
			"Node n1 left 5m ago: its kernel panicked\n  Found in the console that the cloud keeps (aws api): nobody heard the kernel.\n  | a\n\n"},
		"the cloud knows better": {func(s *v1alpha1.NodeObituarySpec) {
			s.Amended, s.Code = &v1alpha1.Amendment{From: "aws api"}, "HardwareFailure"
		},
			"Node n1 left 5m ago: its kernel panicked\n  The Node left by something else (HardwareFailure); the panic had been noted on it before.\n  (none of its lines are on record)\n\n"},
		"noted, and removed by somebody": {func(s *v1alpha1.NodeObituarySpec) {
			s.By = "kernel of node n1"
		},
			"Node n1 left 5m ago: its kernel panicked\n  Known from what had been noted on the Node before it left.\n  (none of its lines are on record)\n\n"},
		"it left by something else": {func(s *v1alpha1.NodeObituarySpec) {
			s.Code = "HardwareFailure"
		},
			"Node n1 left 5m ago: its kernel panicked\n  The Node left by something else (HardwareFailure); the panic had been noted on it before.\n  (none of its lines are on record)\n\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			p := &plugin{out: &out, clock: clocktesting.NewFakeClock(noon.Add(5 * time.Minute))}
			o := &v1alpha1.NodeObituary{Spec: v1alpha1.NodeObituarySpec{NodeName: "n1",
				Removed: metav1.NewTime(noon), Code: "KernelPanic", By: reason.ByNetconsole,
				Reason: "its kernel panicked"},
				Status: v1alpha1.NodeObituaryStatus{Cloud: &v1alpha1.CloudAnswer{Cloud: "aws"}}}
			tc.change(&o.Spec)
			if err := p.lastWordsOf(o); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
