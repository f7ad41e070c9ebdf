package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	nodeController = "system:serviceaccount:kube-system:node-controller"
	scheduler      = "system:kube-scheduler"
)

func (c *cluster) patchNode(t *testing.T, name string, patch map[string]any,
	subresources ...string) {
	t.Helper()
	data, err := json.Marshal(patch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.CoreV1().Nodes().Patch(t.Context(), name, types.StrategicMergePatchType,
		data, metav1.PatchOptions{}, subresources...); err != nil {
		t.Fatalf("patch node %s: %v", name, err)
	}
}

func (c *cluster) priorityClass(t *testing.T, value int32) string {
	t.Helper()
	name := unique("priority")
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value}
	if _, err := c.client.SchedulingV1().PriorityClasses().Create(t.Context(), class,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

func asking(class, cpu string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.PriorityClassName = class
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu)}
	}
}

func TestSchedulerPreempts(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	low, high := shared.priorityClass(t, 10), shared.priorityClass(t, 1000)
	shared.pod(t, ns, node, "victim-a", asking(low, "2"))
	shared.pod(t, ns, node, "victim-b", asking(low, "2"))
	shared.pod(t, ns, node, "important", asking(high, "4"))
	want := reason.Reason{
		Code: reason.Preempted, By: scheduler,
		Text: reason.Text("This pod was preempted by a higher priority job (" + ns + "/important)"),
	}
	shared.leaves(t, reason.Pod, ns+"/victim-a", want)
	shared.leaves(t, reason.Pod, ns+"/victim-b", want)
}

func TestPreemptorOfAnotherNamespaceIsNotNamed(t *testing.T) {
	t.Parallel()
	ns, other, node := shared.namespace(t), shared.namespace(t), shared.node(t).Name
	low, high := shared.priorityClass(t, 10), shared.priorityClass(t, 1000)
	shared.pod(t, ns, node, "victim", asking(low, "3"))
	preemptor := shared.pod(t, other, node, "secret-project", asking(high, "3"))
	shared.leaves(t, reason.Pod, ns+"/victim", reason.Reason{
		Code: reason.Preempted, By: scheduler,
		Text: reason.Text("This pod was preempted by a higher priority job (" +
			string(preemptor.UID) + ")"),
	})
}

func TestTaintEvictionFromABrokenDisk(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a")
	shared.patchNode(t, node,
		map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{{
			Type: "ReadonlyFilesystem", Status: corev1.ConditionTrue,
			Reason:             "FilesystemIsReadOnly",
			LastTransitionTime: metav1.Now(), LastHeartbeatTime: metav1.Now(),
		}}}}, "status")
	shared.patchNode(t, node,
		map[string]any{"spec": map[string]any{
			"taints": []corev1.Taint{{Key: "example.com/broken",
				Effect: corev1.TaintEffectNoExecute}}}})
	shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{
		Code: reason.HardwareFailure, By: nodeController,
		Text: "This pod had to be terminated because the underlying hardware failed (ReadonlyFilesystem: FilesystemIsReadOnly)",
	})
}

func TestTaintEvictionFromAHealthyNode(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a")
	shared.patchNode(t, node,
		map[string]any{"spec": map[string]any{
			"taints": []corev1.Taint{{Key: "example.com/reserved",
				Effect: corev1.TaintEffectNoExecute}}}})
	shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{
		Code: reason.Evicted, By: nodeController,
		Text: reason.Text("This pod was evicted (node " + node +
			" is tainted example.com/reserved)"),
	})
}

func TestHaltedNodeTheCloudRemoves(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t)
	shared.pod(t, ns, node.Name, "a")
	evidence, err := json.Marshal(
		[]reason.Evidence{{What: reason.EvidencePoweroff, Who: "bob", When: time.Now(),
			BootID: node.BootID}})
	if err != nil {
		t.Fatal(err)
	}
	shared.patchNode(t, node.Name,
		map[string]any{"metadata": map[string]any{
			"annotations": map[string]string{reason.EvidenceKey: string(evidence)}}})
	if err := shared.TakeInstanceAway(node.Name); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Node, node.Name, reason.Reason{Code: reason.NodeHalted,
		By: "bob", Text: "This node went away because bob ran sudo poweroff on it"})
	shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{
		Code: reason.NodeHalted, By: "bob",
		Text: "This pod had to be terminated because bob ran sudo poweroff on the node",
	})
}

func TestEvidenceOfAnEarlierBootIsStale(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t)
	shared.pod(t, ns, node.Name, "a")
	evidence, err := json.Marshal(
		[]reason.Evidence{{What: reason.EvidenceReboot, Who: "bob", When: time.Now(),
			BootID: "an-earlier-boot"}})
	if err != nil {
		t.Fatal(err)
	}
	shared.patchNode(t, node.Name,
		map[string]any{"metadata": map[string]any{
			"annotations": map[string]string{reason.EvidenceKey: string(evidence)}}})
	if err := shared.TakeInstanceAway(node.Name); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Node, node.Name, reason.Reason{
		Code: reason.CloudInstanceGone, By: nodeController,
		Text: reason.Text("The cloud instance of node " + node.Name + " is gone"),
	})
	shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{
		Code: reason.CloudInstanceGone, By: nodeController,
		Text: reason.Text("This pod had to be terminated because the cloud instance of node " +
			node.Name + " is gone"),
	})
}

func TestEvidenceThatWasSurvivedIsForgotten(t *testing.T) {
	t.Parallel()
	shared.forgetsSurvived(t)
}

// forgetsSurvived puts evidence of several boots onto a node, and waits until what the node has
// survived is taken off.
func (c *cluster) forgetsSurvived(t *testing.T) {
	t.Helper()
	node := c.node(t)
	old := reason.Evidence{What: reason.EvidenceReboot,
		Who: "bob", When: time.Now().Add(-2 * time.Hour), BootID: "an-earlier-boot"}
	recent, current := old, old
	recent.When = time.Now()
	current.BootID, current.What = node.BootID, reason.EvidenceHalt
	current.When = time.Now()
	evidence, err := json.Marshal([]reason.Evidence{old, recent, current})
	if err != nil {
		t.Fatal(err)
	}
	c.patchNode(t, node.Name,
		map[string]any{"metadata": map[string]any{
			"annotations": map[string]string{reason.EvidenceKey: string(evidence)}}})
	c.eventually(t, "the evidence of an earlier boot is taken off after an hour, and only that",
		func(ctx context.Context) (bool, error) {
			n, err := c.client.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			remains, err := reason.EvidenceOn(n)
			if len(remains) == 3 {
				return false, err
			}
			if len(remains) != 2 || remains[0].When.Equal(old.When) ||
				remains[1].What != reason.EvidenceHalt {
				return false, fmt.Errorf("%+v remain", remains)
			}
			return true, err
		})
}

func TestReplicaSetScalesDownOnAnUnhealthyNode(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.patchNode(t, node,
		map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{{
			Type: "KernelDeadlock", Status: corev1.ConditionTrue, Reason: "DockerHung",
			LastTransitionTime: metav1.Now(), LastHeartbeatTime: metav1.Now(),
		}}}}, "status")
	labels := map[string]string{"app": "web"}
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: ptr.To(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: podSpec(ns, node, "").Spec},
		},
	}
	if _, err := shared.client.AppsV1().ReplicaSets(ns).Create(t.Context(), set,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var pod string
	shared.eventually(t, "the ReplicaSet's pod runs", func(ctx context.Context) (bool, error) {
		pods, err := shared.client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil || len(pods.Items) != 1 {
			return false, err
		}
		pod = pods.Items[0].Name
		return pods.Items[0].Status.Phase == corev1.PodRunning, nil
	})
	if _, err := shared.as(t, runner).AppsV1().ReplicaSets(ns).Patch(t.Context(),
		"web", types.MergePatchType, []byte(`{"spec":{"replicas":0}}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/"+pod, reason.Reason{
		Code: reason.ScaledDown, By: "system:serviceaccount:kube-system:replicaset-controller",
		Text: "This pod was removed because its owner needs fewer pods (ReplicaSet web)",
	})
}
