package podcache_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/podcache"
	"github.com/epitaph-k8s/epitaph/reason"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestTrimmedNodeTellsTheSame(t *testing.T) {
	t.Parallel()
	keys := reason.DefaultKeys()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u", Annotations: map[string]string{
			"example.com/other": "x",
			reason.EvidenceKey:  `[{"what":"halt","who":"bob","when":"2026-11-23T12:00:00Z","bootID":"b"}]`,
		}},
		Status: corev1.NodeStatus{
			NodeInfo: corev1.NodeSystemInfo{BootID: "b", KernelVersion: "6.1"},
			Images:   []corev1.ContainerImage{{Names: []string{"large"}}},
			Conditions: []corev1.NodeCondition{
				{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}},
		},
	}
	o, err := podcache.TrimNodes(reason.Inferrer{Keys: keys}.ReadsOfNodes())(node.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	trimmed := o.(*corev1.Node)
	got, _ := reason.Inferrer{Keys: keys}.Infer(
		reason.Facts{Now: noon, Node: trimmed,
			Remover: reason.Remover{User: "x", Actor: reason.NodeController}})
	if want := (reason.Reason{Code: reason.NodeHalted,
		Text: "This node went away because bob ran sudo halt on it", By: "bob"}); got != want {
		t.Errorf("the trimmed node says %+v, want %+v", got, want)
	}
	if got := trimmed.Status.NodeInfo.KernelVersion; got != "6.1" {
		t.Errorf("the trimmed node has the kernel %q, want 6.1", got)
	}
	if len(trimmed.Status.Images) != 0 || trimmed.Annotations["example.com/other"] != "" {
		t.Errorf("kept what nobody reads: %d images, annotations %q", len(trimmed.Status.Images),
			trimmed.Annotations)
	}
}

// Pods can require any label of a node.
func TestTrimmedNodeHasItsLabels(t *testing.T) {
	t.Parallel()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n",
		Labels: map[string]string{"example.com/pool": "gpu"}}}
	o, err := podcache.TrimNodes(reason.Inferrer{}.ReadsOfNodes())(node.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	if got := o.(*corev1.Node).Labels["example.com/pool"]; got != "gpu" {
		t.Errorf("the trimmed node has the label %q, want gpu", got)
	}
}
