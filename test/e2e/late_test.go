package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent"
	"github.com/epitaph-k8s/epitaph/agent/crash"
	"github.com/epitaph-k8s/epitaph/agent/lastboot"
	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/netconsolefs"
)

// A mute machine's kernel cannot say that it panics. Its agent has found the dump, in the boot
// after.
type mute struct {
	node    string
	dir     string
	dumps   []crash.Dump
	began   time.Time
	kernels *netconsolefs.Kernel
}

// look has the agent of a boot pass once.
func (m *mute) look(t *testing.T, namespace, bootID string, uptime time.Duration) {
	t.Helper()
	a := shared.agentOn(t, shared.agentOf(t, m.node), m.node, namespace, m.kernels,
		func(o *agent.Options) {
			o.BootID = bootID
			o.LastBoot = &lastboot.History{Dir: m.dir,
				Dumps: func() ([]crash.Dump, error) { return m.dumps, nil }}
			o.Uptime = func() (time.Duration, error) { return uptime, nil }
		})
	if r := pass(t, a); len(r.Faults) > 0 {
		t.Fatalf("faults %v", r.Faults)
	}
}

// What a kernel panicked of is found in the next boot. Pods that were lost without a reason get
// theirs; others keep theirs.
func TestPanicThatIsFoundLate(t *testing.T) {
	t.Parallel()
	const upFor = time.Hour
	ns, node := shared.namespace(t), shared.node(t)
	shared.listenAt(t, ourNamespace, "10.9.1.1")
	m := &mute{node: node.Name, dir: t.TempDir(),
		kernels: netconsolefs.New(netconsolefs.Versions["6.14"]), began: time.Now().Add(-upFor)}
	m.look(t, ourNamespace, node.BootID, upFor)
	pods := map[string]*corev1.Pod{}
	for _, name := range []string{"gone", "explained", "failed", "again"} {
		pods[name] = shared.pod(t, ns, node.Name, name,
			func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever })
	}
	// Kubernetes writes whole seconds: the panic must be in a later one than the pods' beginning,
	// and an earlier one than their end.
	time.Sleep(1100 * time.Millisecond)
	panicked := time.Now()
	if err := shared.StopKubelet(t.Context(), node.Name); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)
	at := metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}
	shared.annotate(t, ns, "explained", "frees the licence")
	for _, name := range []string{"gone", "explained"} {
		if err := shared.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(), name, at); err != nil {
			t.Fatal(err)
		}
		shared.recorded(t, ns, name)
	}
	if err := shared.StartKubelet(t.Context(), node.Name); err != nil {
		t.Fatal(err)
	}
	shared.failAsContainerdDoes(t, pods["failed"])
	m.dumps = []crash.Dump{{
		ID: "d1", Source: crash.Pstore, Line: "Fatal exception", At: panicked,
		After: panicked.Sub(m.began), Log: []string{"Kernel panic - not syncing: Fatal exception"},
	}}
	m.look(t, ourNamespace, "boot-after", time.Millisecond)

	const sentence = "This pod died unexpectedly because the underlying node kernel panicked! (Fatal exception)"
	record := shared.boot(t, node.Name, node.BootID)
	if diff := cmp.Diff(
		[]string{"KernelPanic",
			"This node died unexpectedly because its kernel panicked! (Fatal exception)",
			"kernel of node " + node.Name, "pstore",
			"[Kernel panic - not syncing: Fatal exception]", "true"},
		[]string{record.Spec.Code, record.Spec.Reason, record.Spec.By, record.Spec.Amended.From,
			fmt.Sprint(record.Spec.KernelLog), fmt.Sprint(record.Spec.Returned)}); diff != "" {
		t.Errorf("the record of the boot, -want +got:\n%s", diff)
	}
	shared.eventually(t, "the pod that is gone has its reason",
		func(context.Context) (bool, error) {
			return shared.recorded(t, ns, "gone").Spec.Amended != nil, nil
		})
	o := shared.recorded(t, ns, "gone")
	if diff := cmp.Diff([]string{"KernelPanic", "disruption", sentence,
		"kernel of node " + node.Name, record.Name, "pstore", "Unexplained"},
		[]string{o.Spec.Code, o.Spec.Class, o.Spec.Reason, o.Spec.By, o.Spec.NodeObituary,
			o.Spec.Amended.From, o.Spec.Amended.Was}); diff != "" {
		t.Errorf("the pod that is gone, -want +got:\n%s", diff)
	}
	shared.eventually(t, "the pod that failed has its reason",
		func(ctx context.Context) (bool, error) {
			p, err := shared.client.CoreV1().Pods(ns).Get(ctx, "failed", metav1.GetOptions{})
			return err == nil && p.Annotations[keys.Pod.Reason] == sentence, err
		})
	shared.remove(t, shared.as(t, runner), ns, "failed")
	if o := shared.recorded(t, ns, "failed"); o.Spec.Code != "KernelPanic" ||
		o.Spec.NodeObituary != record.Name || o.Spec.Amended != nil {
		t.Errorf("the pod that failed is recorded with %s of %q, amended %v", o.Spec.Code,
			o.Spec.NodeObituary, o.Spec.Amended)
	}
	if o := shared.recorded(t, ns, "explained"); o.Spec.Reason != "frees the licence" ||
		o.Spec.Amended != nil {
		t.Errorf("a reason that somebody gave was changed: %+v", o.Spec)
	}
	again, err := shared.client.CoreV1().Pods(ns).Get(t.Context(), "again", metav1.GetOptions{})
	if err != nil || again.UID != pods["again"].UID || keys.Pod.Has(again.Annotations) ||
		again.DeletionTimestamp != nil {
		t.Errorf("a pod that goes on was touched: %v, %v", again.Annotations, err)
	}
	shared.saysNothingOfTheNextBoot(t, node.Name, node.BootID)
}

// failAsContainerdDoes writes what a kubelet says of a pod that it finds without processes after a
// restart.
func (c *cluster) failAsContainerdDoes(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	pod, err := c.client.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name,
		metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodFailed
	running := pod.Status.ContainerStatuses[0].State.Running
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 255, Reason: "Unknown", StartedAt: running.StartedAt,
			FinishedAt: metav1.Now(),
		}}
	if _, err := c.client.CoreV1().Pods(pod.Namespace).UpdateStatus(t.Context(), pod,
		metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// boot waits for the record of a node's boot, with the lines of its kernel.
func (c *cluster) boot(t *testing.T, node, bootID string) (found v1alpha1.NodeObituary) {
	t.Helper()
	c.eventually(t, "the boot of "+node+" is recorded", func(ctx context.Context) (bool, error) {
		all := &v1alpha1.NodeObituaryList{}
		if err := c.typed(t, c.RESTConfig()).List(ctx, all,
			client.MatchingFields{"spec.nodeName": node}); err != nil {
			return false, err
		}
		for _, o := range all.Items {
			if o.Spec.BootID == bootID {
				found = o
				return len(o.Spec.KernelLog) > 0, nil
			}
		}
		return false, nil
	})
	return found
}

// saysNothingOfTheNextBoot makes sure that the panic is not taken for what the node dies of later.
func (c *cluster) saysNothingOfTheNextBoot(t *testing.T, name, bootID string) {
	t.Helper()
	node, err := c.client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := reason.EvidenceOn(node)
	if err != nil || len(all) != 1 || all[0].BootID != bootID || !all[0].Late() ||
		all[0].Fresh(node) {
		t.Errorf("evidence %+v, %v; want the panic of the last boot, and that it is over", all, err)
	}
}
