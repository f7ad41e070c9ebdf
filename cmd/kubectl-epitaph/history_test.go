package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/rates"
)

func aPanic(name, node string, ago time.Duration, lines ...string) v1alpha1.NodeObituary {
	return v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.NodeObituarySpec{NodeName: node, Code: "KernelPanic", KernelLog: lines,
			Reason: "its kernel panicked", Removed: metav1.NewTime(noon.Add(-ago))}}
}

// Crashes in the same place are one, whether the record has its fingerprint or only the lines; those
// of one trace stand together.
func TestCrashesAreGrouped(t *testing.T) {
	t.Parallel()
	trace := func(release string, frames ...string) []string {
		return append([]string{"Kernel panic - not syncing: x", "CPU: 0 PID: 1 Comm: a Not tainted " + release + " #1",
			"Hardware name: Box 7, BIOS 1", "Call Trace:", "panic+0x1/0x2"}, frames...)
	}
	nvme := []string{"nvme_irq+0x9/0x10 [nvme]", "? not_sure+0x1/0x2", "handle_irq+0x1/0x2"}
	again := aPanic("c", "n1", time.Minute)
	again.Spec.Panic = &v1alpha1.PanicTrace{Fingerprint: "22b9ae3271ff-5d05d747",
		Functions: []string{"nvme_irq", "handle_irq"}, Kernel: "6.1.0", Hardware: "Box 7"}
	all := []v1alpha1.NodeObituary{
		aPanic("a", "n1", 3*time.Hour, trace("6.1.0", nvme...)...),
		aPanic("b", "n2", 2*time.Hour, trace("6.12.0", nvme...)...),
		aPanic("d", "n3", time.Hour, trace("6.1.0", "ext4_\x1b[2Jwrite+0x1/0x2", "ext4_sync+0x1/0x2")...),
		aPanic("e", "n4", time.Hour), again,
	}
	var out strings.Builder
	p := &plugin{out: &out, clock: clocktesting.NewFakeClock(noon)}
	if err := p.printCrashes(crashesOf(all)); err != nil {
		t.Fatal(err)
	}
	want := `FINGERPRINT            CRASHES  NODES  LAST  KERNEL  HARDWARE  IN
22b9ae3271ff-5d05d747  2        1      60s   6.1.0   Box 7     nvme_irq < handle_irq
22b9ae3271ff-aeee81a3  1        1      120m  6.12.0  Box 7     nvme_irq < handle_irq
-                      1        1      60m   -       -         (no trace is on record)
b343d4a0ee0b-5d05d747  1        1      60m   6.1.0   Box 7     ext4_sync
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := placeOf(&all[0]); got != "Fingerprint 22b9ae3271ff-5d05d747: in nvme_irq < handle_irq" {
		t.Errorf("of one it says %q", got)
	}
}

func TestRoots(t *testing.T) {
	t.Parallel()
	began := metav1.NewTime(noon.Add(-10 * time.Hour))
	aPod := func(name, record string, gpus v1alpha1.Amount, owners ...v1alpha1.Owner) v1alpha1.PodObituary {
		return v1alpha1.PodObituary{ObjectMeta: metav1.ObjectMeta{Namespace: "ml"},
			Spec: v1alpha1.PodObituarySpec{PodName: name, NodeName: "n1", NodeObituary: record,
				Began: &began, Removed: metav1.NewTime(noon), Owners: owners,
				Requests: map[string]v1alpha1.Amount{"nvidia.com/gpu": gpus}}}
	}
	set := []v1alpha1.Owner{{Kind: "Job", Name: "train-0"}, {Kind: "JobSet", Name: "train"}}
	lost := aPod("lost", "r1", "1", v1alpha1.Owner{Kind: "ReplicaSet", Name: "web"})
	lost.Spec.Began = nil
	roots := rootsOf([]v1alpha1.NodeObituary{aPanic("r1", "n1", time.Minute), aPanic("r2", "n1", 0)},
		[]v1alpha1.PodObituary{aPod("a", "r1", "8", set...), aPod("b", "r1", "8", set...),
			aPod("bare", "r1", "0"), lost, aPod("of another end", "r0", "8")})
	var out strings.Builder
	p := &plugin{out: &out, clock: clocktesting.NewFakeClock(noon)}
	for n := range roots {
		if err := p.printRoot(&roots[n], "ml"); err != nil {
			t.Fatal(err)
		}
	}
	want := `Node n1 left 60s ago: its kernel panicked
  It took down 4 pods of namespace ml, which had run for 30.0 pod-hours and held GPUs for 160.0 GPU-hours: at most that is lost. Of 1 it is not known how long they ran.
NAMESPACE  OWNER           PODS  POD-HOURS  GPU-HOURS
ml         JobSet/train    2     20.0       160.0
ml         Pod/bare        1     10.0       0.0
ml         ReplicaSet/web  1     0.0        0.0

Node n1 left 0s ago: its kernel panicked
  No pod of namespace ml is on record that it took down.

`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Hours are those of where pods were, whatever they died of; what was never disrupted has a rate of
// 0, and what has no hours has none.
func TestRates(t *testing.T) {
	t.Parallel()
	hours := []archive.Hours{{Of: []string{"a"}, N: 9, Known: 8, Seconds: 3600 * 500},
		{Of: []string{"b"}, N: 2, Known: 2, Seconds: 3600 * 10}}
	tests := map[string]struct {
		by   []string
		ends []archive.Count
		want string
	}{
		"by team and code": {[]string{"label:team", "code"}, []archive.Count{
			{Of: []string{"a", "Evicted"}, N: 3}, {Of: []string{"a", "KernelPanic"}, N: 1},
			{Of: []string{"", "Evicted"}, N: 1}},
			`LABEL:TEAM  CODE         DISRUPTIONS  POD-HOURS  PER 1,000 H
a           Evicted      3            500.0      6.00
a           KernelPanic  1            500.0      2.00
-           Evicted      1            0.0        -
`},
		"by team": {[]string{"label:team"}, []archive.Count{{Of: []string{"a"}, N: 4}},
			`LABEL:TEAM  DISRUPTIONS  POD-HOURS  PER 1,000 H
a           4            500.0      8.00
b           0            10.0       0.00
`},
	}
	for name, tc := range tests {
		var out strings.Builder
		p := &plugin{out: &out}
		if err := p.printRates(tc.by, rates.Of(tc.by, tc.ends, hours)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
