package story

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

func TestLivingNode(t *testing.T) {
	t.Parallel()
	noon := metav1.NewTime(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
	lost := func(names ...string) (all []v1alpha1.PodObituary) {
		for _, name := range names {
			o := v1alpha1.PodObituary{ObjectMeta: metav1.ObjectMeta{Namespace: "batch"}}
			o.Spec.PodName, o.Spec.Removed, o.Spec.Code, o.Spec.Reason = name, noon, "Evicted",
				"no room\x1b[2J"
			all = append(all, o)
		}
		return all
	}
	end := &v1alpha1.NodeObituary{Spec: v1alpha1.NodeObituarySpec{NodeName: "n1", Removed: noon,
		Code: "KernelPanic", Class: "disruption", Reason: "its kernel panicked", Returned: true,
		By: "epitaph/netconsole"}}
	unseen := "Node n1 is there, and no end of it is on record.\n"
	for name, tc := range map[string]struct {
		status   corev1.ConditionStatus
		cordoned bool
		living   LivingNode
		want     string
	}{
		"that has lost pods": {corev1.ConditionTrue, false, LivingNode{Lost: lost("a", "b")}, unseen + `
How it is
  It has been Ready since 2026-05-01 12:00:00 UTC.
  Its boot is b-1.

What it has lost
  2026-05-01 12:00:00 UTC: batch/a, Evicted: no room\x1b[2J
  2026-05-01 12:00:00 UTC: batch/b, Evicted: no room\x1b[2J
`},
		"that is not well": {corev1.ConditionFalse, true, LivingNode{Only: "batch"}, unseen + `
How it is
  It has not been Ready since 2026-05-01 12:00:00 UTC.
  Its boot is b-1.
  It is cordoned: the scheduler gives it no pods.

What it has lost
  Only pods of namespace batch could be read.
  No pod of it is on record.
`},
		"that came back": {corev1.ConditionUnknown, false, LivingNode{End: end},
			"Node n1 went down at 2026-05-01 12:00:00 UTC, and came back.\n" + `
What happened
  its kernel panicked
  KernelPanic. Terminated by epitaph/netconsole.

How it is
  It has been silent since 2026-05-01 12:00:00 UTC: whether it still works is not known.
  Its boot is b-1.

What it has lost
  No pod of it is on record since then.
`},
	} {
		l := tc.living
		l.Node = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
		l.Node.Spec.Unschedulable, l.Node.Status.NodeInfo.BootID = tc.cordoned, "b-1"
		l.Node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady,
			Status: tc.status, LastTransitionTime: noon}}
		d := l.Data(nil)
		if diff := cmp.Diff(tc.want, d.Prose); diff != "" {
			t.Errorf("a node %s (-want +got):\n%s", name, diff)
		}
		if !d.Exists || d.NodeName != "n1" || d.Now.Ready != tc.status || d.Now.BootID != "b-1" ||
			d.Now.Cordoned != tc.cordoned || len(d.Now.Lost) != len(l.Lost) ||
			d.Now.LostIn != l.Only {
			t.Errorf("a node %s, for programs: %+v", name, d)
		}
	}
	many := LivingNode{Node: &corev1.Node{}, Lost: lost(strings.Split(strings.Repeat("a,", 60), ",")...)}
	lines := many.lost()
	if len(lines) != maxSummaries+1 || lines[0].String() != "11 earlier ones are not shown." {
		t.Errorf("of 61 pods, it has %d lines, the first of which is %q", len(lines), lines[0])
	}
}
