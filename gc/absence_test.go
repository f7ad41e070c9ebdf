package gc

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

var inferrer = reason.Inferrer{Keys: reason.DefaultKeys(), Signals: reason.DefaultSignals()}

func node(uid types.UID, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: uid}}
	for _, f := range change {
		f(n)
	}
	return n
}

func leftWith(text string) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Annotations = reason.DefaultKeys().Node.Annotations(
			reason.Reason{Code: reason.UserRequest, Text: reason.Text(text), By: "alice"})
	}
}

func silentNode(n *corev1.Node) {
	n.Status.Conditions = []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: "NodeStatusUnknown"}}
}

func brokenDisk(n *corev1.Node) {
	n.Status.Conditions = []corev1.NodeCondition{
		{Type: "ReadonlyFilesystem", Status: corev1.ConditionTrue, Reason: "Broken"}}
}

func onRecord(uid types.UID, code reason.Code, text string, left time.Time,
	change ...func(*v1alpha1.NodeObituary)) *v1alpha1.NodeObituary {
	o := &v1alpha1.NodeObituary{Spec: v1alpha1.NodeObituarySpec{
		NodeName: "n1", NodeUID: uid, Code: string(code), Reason: text, By: "webhook",
		Removed: metav1.NewTime(left),
	}}
	for _, f := range change {
		f(o)
	}
	return o
}

func TestAbsence(t *testing.T) {
	t.Parallel()
	succeeded := func(o *v1alpha1.NodeObituary) { o.Spec.SucceededBy = "third" }
	tests := map[string]struct {
		last          *corev1.Node
		obituary      *v1alpha1.NodeObituary
		wantText      reason.Text
		wantExplained bool
	}{
		"nothing is known": {},
		"it was seen going with a reason": {
			last: node("first", leftWith("rack 7 is moved")), wantText: "rack 7 is moved",
			wantExplained: true,
		},
		"its last state explains it": {
			last: node("first", brokenDisk), wantExplained: true,
			wantText: "This node had to be removed because its hardware failed (ReadonlyFilesystem: Broken)",
		},
		"a silent kubelet may come back": {
			last:     node("first", silentNode),
			wantText: "This node was removed because it was unreachable or unhealthy (Ready=Unknown: NodeStatusUnknown)",
		},
		"only the record is left": {
			obituary: onRecord("first", reason.KernelPanic, "panic", noon), wantText: "panic",
			wantExplained: true,
		},
		"the record knows who deleted it": {
			last: node("first"), obituary: onRecord("first", reason.Unexplained,
				"deleted by x", noon), wantText: "deleted by x",
		},
		"the record explains a silent node": {
			last: node("first", silentNode), obituary: onRecord("first", reason.KernelPanic,
				"panic", noon), wantText: "panic", wantExplained: true,
		},
		"the record is about an earlier node of that name": {
			last:     node("second"),
			obituary: onRecord("first", reason.KernelPanic, "panic", noon),
			wantText: "Nobody said why this node was deleted, and nothing could be inferred (deleted by an unknown remover)",
		},
		"a later node had the name, and nobody saw it go": {
			obituary: onRecord("first", reason.KernelPanic, "panic", noon, succeeded),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := absenceOf(inferrer, lastSeen{node: tc.last, at: noon}, tc.last != nil, tc.obituary,
				noon)
			if a.reason.Text != tc.wantText || a.explained != tc.wantExplained {
				t.Errorf("reason %q, explained %t, want %q, %t", a.reason.Text, a.explained,
					tc.wantText, tc.wantExplained)
			}
		})
	}
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	const quarantine = 40 * time.Second
	explained := absenceOf(inferrer, lastSeen{node: node("first", leftWith("moved")), at: noon},
		true, nil, noon)
	unexplained := absenceOf(inferrer, lastSeen{node: node("first"), at: noon}, true, nil, noon)
	remembered := absenceOf(inferrer, lastSeen{}, false,
		onRecord("first", reason.Unexplained, "x", noon.Add(-30*time.Second)), noon)
	created := func(at time.Time) *corev1.Pod {
		return pod(func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(at) })
	}
	tests := map[string]struct {
		absence absence
		pod     *corev1.Pod
		now     time.Time
		want    time.Duration
	}{
		"a reason ends it before it begins": {explained, created(noon.Add(-time.Hour)),
			noon, 0},
		"without one the pod waits": {unexplained, created(noon.Add(-time.Hour)),
			noon.Add(10 * time.Second), 30 * time.Second},
		"until it is over": {unexplained, created(noon.Add(-time.Hour)),
			noon.Add(40 * time.Second), 0},
		"a crash of ours does not begin it again": {remembered, created(noon.Add(-time.Hour)),
			noon, 11 * time.Second},
		"a pod for a node that is still to come": {explained, created(noon.Add(time.Minute)),
			noon.Add(70 * time.Second), 30 * time.Second},
		"such a pod waits from its own creation on": {unexplained, created(noon.Add(time.Minute)),
			noon.Add(60 * time.Second), 40 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.absence.due(tc.pod, tc.now, quarantine); got != tc.want {
				t.Errorf("the pod waits %s, want %s", got, tc.want)
			}
		})
	}
}
