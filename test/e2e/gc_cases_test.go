package e2e

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A collectorCase is a pod of the built-in collector's own tests (K8s v1.37
// pkg/controller/podgc/gc_controller_test.go and test/integration/podgc), for ours.
type collectorCase struct {
	name string
	// node is what the pod is bound to, if anything.
	node string
	// phase is the pod's; terminating is set if somebody has deleted it.
	phase       corev1.PodPhase
	terminating bool
	change      func(*corev1.Pod)
	// want is the phase in which it terminates, held by its finalizer. Where it is empty, the
	// collector leaves the pod alone.
	want      corev1.PodPhase
	disrupted bool
}

// sameTwice gives the pod an environment variable and a port twice. The API server takes that, but
// not every way to write the pod's status (kubernetes/kubernetes#113482).
func sameTwice(p *corev1.Pod) {
	main := &p.Spec.Containers[0]
	main.Env = []corev1.EnvVar{{Name: "TWICE", Value: "x"}, {Name: "TWICE", Value: "y"}}
	main.Ports = []corev1.ContainerPort{{ContainerPort: 93, HostPort: 9376},
		{ContainerPort: 93, HostPort: 9377}}
}

func TestCasesOfTheBuiltInCollector(t *testing.T) {
	t.Parallel()
	ns := shared.namespace(t)
	gone, dead, silent := shared.node(t).Name, shared.node(t).Name, shared.node(t).Name
	for _, node := range []string{gone, dead, silent} {
		if err := shared.StopKubelet(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	const (
		pending, running  = corev1.PodPending, corev1.PodRunning
		succeeded, failed = corev1.PodSucceeded, corev1.PodFailed
	)
	cases := []collectorCase{
		{name: "orphan-pending", node: gone, phase: pending, want: failed, disrupted: true},
		{name: "orphan-running", node: gone, phase: running, want: failed, disrupted: true},
		{name: "orphan-succeeded", node: gone, phase: succeeded, want: succeeded},
		{name: "orphan-failed", node: gone, phase: failed, want: failed},
		{name: "orphan-twice", node: gone, phase: running, change: sameTwice, want: failed,
			disrupted: true},

		{name: "unbound-pending", phase: pending, terminating: true, want: failed},
		{name: "unbound-running", phase: running, terminating: true, want: failed},
		{name: "unbound-succeeded", phase: succeeded, terminating: true, want: succeeded},
		{name: "unbound-failed", phase: failed, terminating: true, want: failed},
		{name: "unbound-lives", phase: pending},

		{name: "dead-pending", node: dead, phase: pending, terminating: true, want: failed},
		{name: "dead-running", node: dead, phase: running, terminating: true, want: failed},
		{name: "dead-succeeded", node: dead, phase: succeeded, terminating: true, want: succeeded},
		{name: "dead-failed", node: dead, phase: failed, terminating: true, want: failed},
		{name: "dead-lives", node: dead, phase: running},
		{name: "silent-running", node: silent, phase: running, terminating: true},
		{name: "silent-lives", node: silent, phase: running},
	}
	for _, k := range cases {
		shared.make(t, ns, k)
	}
	shared.annotateNode(t, gone, reason.New(reason.Node, reason.HardwareFailure, "disk sda", "ops"))
	shared.deleteNode(t, gone)
	for _, node := range []string{dead, silent} {
		shared.patchNode(t, node, map[string]any{"status": map[string]any{
			"conditions": []corev1.NodeCondition{{Type: corev1.NodeReady,
				Status: corev1.ConditionFalse, Reason: "KubeletNotReady"}}}}, "status")
	}
	shared.patchNode(t, dead, map[string]any{"spec": map[string]any{"taints": []corev1.Taint{
		{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoSchedule}}}})
	for _, k := range cases {
		if k.want == "" {
			continue
		}
		p := shared.podLike(t, ns, k.name, fmt.Sprintf("terminates in phase %s", k.want),
			func(p *corev1.Pod) bool {
				return p.DeletionTimestamp != nil && p.Status.Phase == k.want &&
					*p.DeletionGracePeriodSeconds == 0
			})
		if k.want == failed {
			wantCounted(t, p, k.disrupted)
		}
	}
	for _, k := range cases {
		p, err := shared.client.CoreV1().Pods(ns).Get(t.Context(), k.name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if k.want == "" && (p.Status.Phase != k.phase ||
			(p.DeletionTimestamp != nil) != k.terminating) {
			t.Errorf("pod %s is in phase %s, terminating since %v: the collector has touched it",
				k.name, p.Status.Phase, p.DeletionTimestamp)
		}
	}
}

// make makes the pod of a case, and has it deleted where it terminates.
func (c *cluster) make(t *testing.T, ns string, k collectorCase) {
	t.Helper()
	c.create(t, podSpec(ns, "", k.name, finalized, tolerant, lasting, func(p *corev1.Pod) {
		p.Spec.NodeName, p.Spec.NodeSelector, p.Spec.SchedulerName = k.node, nil, "nobody"
		if k.change != nil {
			k.change(p)
		}
	}))
	pods := c.client.CoreV1().Pods(ns)
	patch := fmt.Appendf(nil, `{"status":{"phase":%q}}`, k.phase)
	if _, err := pods.Patch(t.Context(), k.name, types.MergePatchType, patch,
		metav1.PatchOptions{}, "status"); err != nil {
		t.Fatalf("pod %s does not come into phase %s: %v", k.name, k.phase, err)
	}
	if !k.terminating {
		return
	}
	c.eventually(t, k.name+" is deleted", func(ctx context.Context) (bool, error) {
		err := c.as(t, runner).CoreV1().Pods(ns).Delete(ctx, k.name, metav1.DeleteOptions{})
		return err == nil, nil
	})
}
