package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func deadNode(change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "8f6f7c1e-4f0a-4a52-9a3e-0d3d5a1b2c3d"},
		Status: corev1.NodeStatus{
			NodeInfo:  corev1.NodeSystemInfo{BootID: "boot-1"},
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}},
		},
	}
	for _, f := range change {
		f(n)
	}
	return n
}

func TestObituaryHoldsWhatIsKnown(t *testing.T) {
	t.Parallel()
	node := deadNode(func(n *corev1.Node) {
		n.Annotations = map[string]string{
			reason.EvidenceKey: `[{"what":"halt","who":"bob","when":"2026-11-23T12:00:00Z"}]`}
		n.Spec.ProviderID = "aws:///us-east-1a/i-0123456789abcdef0"
	})
	got, err := compose(node, reason.New(reason.Node, reason.NodeHalted,
		"bob ran sudo halt", "bob"), "alice", noon)
	if err != nil {
		t.Fatal(err)
	}
	want := &v1alpha1.NodeObituary{
		ObjectMeta: metav1.ObjectMeta{Name: "n1-8f6f7c1e4f0a"},
		Spec: v1alpha1.NodeObituarySpec{
			NodeName: "n1", NodeUID: "8f6f7c1e-4f0a-4a52-9a3e-0d3d5a1b2c3d", BootID: "boot-1",
			Addresses: []string{"10.0.0.1"}, ProviderID: "aws:///us-east-1a/i-0123456789abcdef0",
			Removed: metav1.NewTime(noon),
			Code:    "NodeHalted", Class: "disruption",
			Reason: "This node went away because bob ran sudo halt on it", By: "bob",
			DeletedBy: "alice",
			Evidence:  []v1alpha1.Evidence{{What: "halt", Who: "bob", When: metav1.NewTime(noon)}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("obituary (-want +got):\n%s", diff)
	}
}

func TestObituariesFitTheirSchema(t *testing.T) {
	t.Parallel()
	pieces := make([]reason.Evidence, 50)
	for i := range pieces {
		pieces[i] = reason.Evidence{What: "hardware", When: noon}
	}
	evidence, err := json.Marshal(pieces)
	if err != nil {
		t.Fatal(err)
	}
	o, err := compose(deadNode(func(n *corev1.Node) {
		n.Name = strings.Repeat("a.", 126) + "b"
		n.Annotations = map[string]string{reason.EvidenceKey: string(evidence)}
		n.Status.Addresses = make([]corev1.NodeAddress, 100)
	}), reason.Reason{Code: reason.Code(strings.Repeat("c", 100)), Text: "x"}, "", noon)
	if err != nil {
		t.Fatal(err)
	}
	if problems := validation.IsDNS1123Subdomain(o.Name); len(problems) > 0 {
		t.Errorf("name %q: %v", o.Name, problems)
	}
	if len(o.Spec.Evidence) != 32 || len(o.Spec.Addresses) != 32 || len(o.Spec.Code) != 64 ||
		o.Spec.Class != "unexplained" {
		t.Errorf("%d pieces of evidence, %d addresses, a code of %d bytes, class %s",
			len(o.Spec.Evidence), len(o.Spec.Addresses), len(o.Spec.Code), o.Spec.Class)
	}
}

func TestNoObituaryOfNobody(t *testing.T) {
	t.Parallel()
	if _, err := compose(deadNode(func(n *corev1.Node) { n.UID = "" }), reason.Reason{Text: "x"},
		"", noon); err == nil {
		t.Error("a node without a UID got an obituary")
	}
	if _, err := compose(deadNode(), reason.Reason{}, "", noon); err == nil {
		t.Error("an obituary without a reason was composed")
	}
}

func TestLaterWordHoldsUnlessItKnowsLess(t *testing.T) {
	t.Parallel()
	spec := func(c reason.Code, text string) v1alpha1.NodeObituarySpec {
		return v1alpha1.NodeObituarySpec{Code: string(c), Reason: text}
	}
	tests := map[string]struct {
		later, held v1alpha1.NodeObituarySpec
		want        bool
	}{
		"the same again": {spec(reason.KernelPanic, "a"),
			spec(reason.KernelPanic, "a"), false},
		"an earlier deletion was denied": {spec(reason.KernelPanic, "a"),
			spec(reason.NodeScaledDown, "b"), true},
		"at last an explanation": {spec(reason.KernelPanic, "a"),
			spec(reason.Unexplained, "b"), true},
		"the explanation is not lost": {spec(reason.Unexplained, "b"),
			spec(reason.KernelPanic, "a"), false},
		"another unknown remover": {spec(reason.Unexplained, "b"),
			spec(reason.Unexplained, "c"), true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := supersedes(tc.later, tc.held); got != tc.want {
				t.Errorf("supersedes %t, want %t", got, tc.want)
			}
		})
	}
}

func TestWhoseEndItWas(t *testing.T) {
	t.Parallel()
	o := &v1alpha1.NodeObituary{Spec: v1alpha1.NodeObituarySpec{Removed: metav1.NewTime(noon)}}
	tests := map[string]struct {
		created metav1.Time
		change  func(*v1alpha1.NodeObituary)
		want    bool
	}{
		"a pod of the node":                         {metav1.NewTime(noon.Add(-1)), nil, true},
		"a pod that was bound while it went":        {metav1.NewTime(noon.Add(4e9)), nil, true},
		"a pod that waits for another of that name": {metav1.NewTime(noon.Add(60e9)), nil, false},
		"a pod that lived on under another": {metav1.NewTime(noon.Add(-1)),
			func(o *v1alpha1.NodeObituary) { o.Spec.SucceededBy = "second" }, false},
		"our clock is behind that of the API server": {metav1.NewTime(noon.Add(60e9)),
			func(o *v1alpha1.NodeObituary) { o.CreationTimestamp = metav1.NewTime(noon.Add(61e9)) },
			true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o.DeepCopy()
			if tc.change != nil {
				tc.change(o)
			}
			if got := SpeaksFor(o, tc.created.Time); got != tc.want {
				t.Errorf("speaks for the pod %t, want %t", got, tc.want)
			}
		})
	}
}
