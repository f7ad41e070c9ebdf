package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// annotateNode puts a reason on a Node as whoever removes it would.
func (c *cluster) annotateNode(t *testing.T, name string, r reason.Reason) {
	t.Helper()
	c.patchNode(t, name,
		map[string]any{"metadata": map[string]any{"annotations": keys.Node.Annotations(r)}})
}

// deleteNode deletes a Node as a program does that says nothing.
func (c *cluster) deleteNode(t *testing.T, name string) {
	t.Helper()
	if err := c.as(t, runner).CoreV1().Nodes().Delete(t.Context(), name,
		metav1.DeleteOptions{}); err != nil {
		t.Fatalf("delete node %s: %v", name, err)
	}
}

// fill creates n pods that run on a node.
func (c *cluster) fill(t *testing.T, namespace, node string, n int,
	change ...func(*corev1.Pod)) []string {
	t.Helper()
	var names []string
	for i := range n {
		name := fmt.Sprintf("p-%d", i)
		c.pod(t, namespace, node, name, change...)
		names = append(names, namespace+"/"+name)
	}
	return names
}

func TestPodsOfANodeThatLeftWithAReasonGoAtOnce(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	pods := shared.fill(t, ns, node, 3)
	shared.annotateNode(t, node, reason.New(reason.Node, reason.HardwareFailure, "disk sda", "ops"))
	began := time.Now()
	shared.deleteNode(t, node)
	want := reason.Reason{
		Code: reason.HardwareFailure, By: "ops",
		Text: "This pod had to be terminated because the underlying hardware failed (disk sda)",
	}
	for _, pod := range pods {
		d := shared.leaves(t, reason.Pod, pod, want)
		wantFailedWith(t, d.Pod, true)
		if took := d.At.Sub(began); took >= quarantine {
			t.Errorf("pod %s went after %s: it waited out the quarantine", pod, took)
		}
	}
}

// wantFailedWith checks a pod that Epitaph failed: what a Job's controller counts by, and what tools
// show.
func wantFailedWith(t *testing.T, pod *corev1.Pod, disrupted bool) {
	t.Helper()
	wantCounted(t, pod, disrupted)
	if r, err := keys.Pod.Read(pod.Annotations); err == nil && r.Text != "" {
		wantTold(t, pod, r)
	}
}

// wantCounted checks what a Job's controller counts by.
func wantCounted(t *testing.T, pod *corev1.Pod, disrupted bool) {
	t.Helper()
	if pod.Status.Phase != corev1.PodFailed {
		t.Errorf("pod %s left in phase %s, want Failed", pod.Name, pod.Status.Phase)
	}
	got := false
	for _, c := range pod.Status.Conditions {
		got = got || c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue &&
			c.Reason == "DeletionByPodGC"
	}
	if got != disrupted {
		t.Errorf("pod %s left with DisruptionTarget %t, want %t", pod.Name, got, disrupted)
	}
}

// wantTold checks what tools show and read of a pod that was failed.
func wantTold(t *testing.T, pod *corev1.Pod, r reason.Reason) {
	t.Helper()
	if pod.Status.Reason != string(r.Code) || pod.Status.Message != string(r.Text) {
		t.Errorf("pod %s left with the status %s: %q, want its reason, %+v", pod.Name,
			pod.Status.Reason, pod.Status.Message, r)
	}
	var verdict v1alpha1.Verdict
	if err := json.Unmarshal([]byte(pod.Annotations[reason.VerdictKey]), &verdict); err != nil ||
		verdict.Retry == "" || verdict.MayStillRun == "" {
		t.Errorf("pod %s left with the verdict %q (%v)", pod.Name,
			pod.Annotations[reason.VerdictKey], err)
	}
}

func TestPodsOfANodeThatLeftUnexplainedWait(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a")
	began := time.Now()
	shared.deleteNode(t, node)
	d := shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{
		Code: reason.NodeDeleted, By: runner,
		Text: reason.Text("This pod had to be terminated because its node was deleted (" + node +
			": Nobody said why this node was deleted, and nothing could be inferred (deleted by " +
			runner + "))"),
	})
	wantFailedWith(t, d.Pod, true)
	if waited := d.At.Sub(began); waited < quarantine {
		t.Errorf("the pod went after %s, before the quarantine of %s was over", waited, quarantine)
	}
}

func TestNodeThatComesBackKeepsItsPods(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	pod := shared.pod(t, ns, node, "a")
	object, err := shared.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	shared.deleteNode(t, node)
	time.Sleep(quarantine / 2)
	object.ObjectMeta = metav1.ObjectMeta{Name: node, Labels: object.Labels,
		Annotations: object.Annotations}
	if _, err := shared.client.CoreV1().Nodes().Create(t.Context(), object,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	stays(t, shared, pod, quarantine+2*time.Second)
}

// stays watches a pod for as long as the collector would need.
func stays(t *testing.T, c *cluster, pod *corev1.Pod, watched time.Duration) {
	t.Helper()
	time.Sleep(watched)
	if now := c.alive(t, pod.Namespace, pod.Name); now.UID != pod.UID ||
		keys.Pod.Has(now.Annotations) || now.Status.Phase == corev1.PodFailed {
		t.Errorf("pod %s was touched: UID %s (was %s), phase %s, annotations %q", pod.Name, now.UID,
			pod.UID, now.Status.Phase, now.Annotations)
	}
}

func TestFinalizersHoldOrphans(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	held := shared.pod(t, ns, node,
		"a", func(p *corev1.Pod) { p.Finalizers = []string{"example.com/archive"} })
	shared.annotateNode(t, node, reason.New(reason.Node, reason.HardwareFailure, "disk sda", "ops"))
	shared.deleteNode(t, node)
	shared.eventually(t, "the pod is failed and deleted", func(ctx context.Context) (bool, error) {
		p, err := shared.client.CoreV1().Pods(ns).Get(ctx, "a", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		held = p
		return p.DeletionTimestamp != nil, nil
	})
	wantFailedWith(t, held, true)
	// Where people look first.
	if out, err := shared.kubectl(t, ns, "get", "pod", "a", "--no-headers"); err != nil ||
		!slices.Contains(strings.Fields(out), "HardwareFailure") {
		t.Errorf("kubectl get pod ended with %v: %s", err, out)
	}
	time.Sleep(time.Second)
	still, err := shared.client.CoreV1().Pods(ns).Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || still.ResourceVersion != held.ResourceVersion {
		t.Fatalf("the held pod was written to again, or is gone: %v", err)
	}
	still.Finalizers = nil
	if _, err := shared.client.CoreV1().Pods(ns).Update(t.Context(), still,
		metav1.UpdateOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{
		Code: reason.HardwareFailure, By: "ops",
		Text: "This pod had to be terminated because the underlying hardware failed (disk sda)",
	})
}
