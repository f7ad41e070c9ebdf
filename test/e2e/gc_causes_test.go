package e2e

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const unknownRemover = "an unknown remover"

func tolerant(p *corev1.Pod) {
	p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
}

// slowly makes a pod take its time to end.
func slowly(p *corev1.Pod) {
	p.Spec.TerminationGracePeriodSeconds = ptr.To(int64(30))
	metav1.SetMetaDataAnnotation(&p.ObjectMeta, "sandbox.epitaph/shutdown-seconds", "4")
}

func finalized(p *corev1.Pod) { p.Finalizers = []string{"example.com/archive"} }

// podLike waits until a pod that is still there is as described.
func (c *cluster) podLike(t *testing.T, namespace, name, what string,
	is func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	c.eventually(t, "pod "+name+" "+what, func(ctx context.Context) (bool, error) {
		p, err := c.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		found = p
		return is(p), nil
	})
	return found
}

func wantReason(t *testing.T, pod *corev1.Pod, want reason.Reason) {
	t.Helper()
	if got, err := keys.Pod.Read(pod.Annotations); err != nil || got != want {
		t.Errorf("pod %s carries\n  %+v (%v), want\n  %+v", pod.Name, got, err, want)
	}
}

func TestOutOfServiceNodeLetsItsTerminatingPodsGo(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "evicted")
	staying := shared.pod(t, ns, node, "staying", tolerant)
	if err := shared.StopKubelet(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	shared.eventually(t, "the node is not ready", func(ctx context.Context) (bool, error) {
		n, err := shared.client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady {
				return c.Status != corev1.ConditionTrue, nil
			}
		}
		return false, nil
	})
	counted := func() float64 {
		return shared.metricOf(t, "epitaph_gc_pods_terminated_total", "cause", "out-of-service")
	}
	before := counted()
	shared.patchNode(t, node, map[string]any{"spec": map[string]any{"taints": []corev1.Taint{
		{Key: corev1.TaintNodeOutOfService, Value: "nodeshutdown",
			Effect: corev1.TaintEffectNoExecute},
	}}})
	d := shared.leaves(t, reason.Pod, ns+"/evicted", reason.Reason{
		Code: reason.OutOfService, By: nodeController,
		Text: "This pod had to be terminated because its node was declared out of service (node.kubernetes.io/out-of-service: nodeshutdown)",
	})
	if d.Pod.Status.Phase != corev1.PodFailed {
		t.Errorf("the pod left in phase %s, want Failed", d.Pod.Status.Phase)
	}
	stays(t, shared, staying, time.Second)
	// Other tests of the cluster have such nodes too.
	if got := counted() - before; got < 1 {
		t.Errorf("%v pods more are counted as out-of-service, want 1 at least", got)
	}
}

// noWebhook runs the collector alone, with a threshold of three finished pods.
func noWebhook(c *config.Config) {
	quick(c)
	c.Webhook.Enabled = false
	c.GC.TerminatedPodThreshold = 3
}

func TestCollectorWithoutWebhook(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: noWebhook}})
	someone := c.as(t, runner).CoreV1()

	t.Run("a terminating pod gets a reason while it is there", func(t *testing.T) {
		ns := c.namespace(t)
		c.pod(t, ns, "node-1", "a", slowly)
		if err := someone.Pods(ns).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		c.leaves(t, reason.Pod, ns+"/a", reason.Reason{
			Code: reason.Unexplained, By: unknownRemover,
			Text: "Nobody said why this pod was deleted, and nothing could be inferred (deleted by " + unknownRemover + ")",
		})
	})
	t.Run("an evicted pod says so", func(t *testing.T) {
		ns := c.namespace(t)
		c.pod(t, ns, "node-1", "a", slowly)
		if err := someone.Pods(ns).EvictV1(t.Context(),
			&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "a",
				Namespace: ns}}); err != nil {
			t.Fatal(err)
		}
		c.leaves(t, reason.Pod, ns+"/a", reason.Reason{
			Code: reason.Evicted, By: unknownRemover,
			Text: "This pod was evicted (by " + unknownRemover + ")",
		})
	})
	t.Run("a reason of somebody else stays", func(t *testing.T) {
		ns := c.namespace(t)
		c.pod(t, ns, "node-1", "a", slowly)
		c.annotate(t, ns, "a", "the experiment is over")
		if err := someone.Pods(ns).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		c.leaves(t, reason.Pod, ns+"/a", reason.Reason{Text: "the experiment is over"})
	})
	t.Run("a terminating pod that was never scheduled is failed", func(t *testing.T) {
		ns := c.namespace(t)
		p := podSpec(ns, "no-such-node", "a", finalized)
		if _, err := c.client.CoreV1().Pods(ns).Create(t.Context(), p,
			metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := someone.Pods(ns).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		failed := c.podLike(t, ns, "a", "is failed",
			func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
		wantReason(t, failed, reason.Reason{Code: reason.NeverScheduled, By: collectorName,
			Text: "This pod was deleted before it was ever scheduled to a node"})
		wantFailedWith(t, failed, false)
	})
	t.Run("a node that nobody explained is remembered", func(t *testing.T) {
		ns, node := c.namespace(t), c.node(t).Name
		c.pod(t, ns, node, "a")
		c.deleteNode(t, node)
		c.leaves(t, reason.Pod, ns+"/a", reason.Reason{
			Code: reason.NodeDeleted, By: unknownRemover,
			Text: reason.Text("This pod had to be terminated because its node was deleted (" +
				node +
				": Nobody said why this node was deleted, and nothing could be inferred (deleted by " + unknownRemover + "))"),
		})
	})
	t.Run("evidence on the last state of a node explains", func(t *testing.T) {
		ns, node := c.namespace(t), c.node(t).Name
		c.pod(t, ns, node, "a")
		c.patchNode(t, node,
			map[string]any{"metadata": map[string]any{"annotations": map[string]string{
				reason.EvidenceKey: `[{"what":"poweroff","who":"bob","when":"` +
					time.Now().UTC().Format(time.RFC3339) + `"}]`,
			}}})
		began := time.Now()
		c.deleteNode(t, node)
		d := c.leaves(t, reason.Pod, ns+"/a", reason.Reason{
			Code: reason.NodeHalted, By: "bob",
			Text: "This pod had to be terminated because bob ran sudo poweroff on the node",
		})
		if took := d.At.Sub(began); took >= quarantine {
			t.Errorf("the pod went after %s: it waited out the quarantine", took)
		}
	})
	t.Run("a pod of a node that never was waits as others do", func(t *testing.T) {
		ns, node := c.namespace(t), unique("never-was")
		began := time.Now()
		pod := c.orphans(t, ns, node, 1)[0]
		d := c.leaves(t, reason.Pod, pod, reason.Reason{
			Code: reason.NodeDeleted, By: collectorName,
			Text: reason.Text("This pod had to be terminated because its node was deleted (" +
				node + ")"),
		})
		if waited := d.At.Sub(began); waited < quarantine {
			t.Errorf("the pod went after %s, before the quarantine of %s was over", waited,
				quarantine)
		}
	})
	t.Run("finished pods beyond the threshold go, evicted ones first, then the oldest",
		func(t *testing.T) {
			c.surplusGoes(t)
		})
	t.Run("all of it is counted", func(t *testing.T) {
		// Three nodes were gone, one pod each; three finished pods were too many; two terminating
		// pods had no reason.
		for cause, want := range map[string]float64{"orphaned": 3, "unscheduled": 1,
			"terminated": 3} {
			if got := c.metricOf(t, "epitaph_gc_pods_terminated_total", "cause",
				cause); got != want {
				t.Errorf("%v pods are counted as %s, want %v", got, cause, want)
			}
		}
		if got := c.metric(t, "epitaph_gc_pods_annotated_total"); got != 2 {
			t.Errorf("%v pods are counted as given a reason, want 2", got)
		}
		if got := c.metric(t, "epitaph_gc_pod_errors_total"); got != 0 {
			t.Errorf("%v errors are counted, want none", got)
		}
	})
}

const collectorName = "epitaph/gc"

func (c *cluster) surplusGoes(t *testing.T) {
	t.Helper()
	ns := c.namespace(t)
	for _, name := range []string{"never-bound", "oldest", "older", "newer", "newest"} {
		if name == "never-bound" { // a finished pod as any other
			c.create(t, podSpec(ns, "no-such-node", name))
			c.fails(t, ns, name, "")
		} else {
			c.finish(t, ns, name, "")
		}
		time.Sleep(1100 * time.Millisecond) // creation times have whole seconds
	}
	want := reason.Reason{
		Code: reason.TerminatedPodLimit, By: collectorName,
		Text: "This pod had finished and was removed because the cluster keeps only a limited number of finished pods",
	}
	c.leaves(t, reason.Pod, ns+"/never-bound", want)
	c.leaves(t, reason.Pod, ns+"/oldest", want)
	c.finish(t, ns, "evicted", "Evicted")
	d := c.leaves(t, reason.Pod, ns+"/evicted", reason.Reason{
		Code: reason.NodePressure, By: "system:node:node-1",
		Text: "This pod was evicted because its node ran low on a resource (low on memory)",
	})
	if d.Pod.Status.Reason != "Evicted" {
		t.Errorf("the evicted pod left with status reason %q, want its own", d.Pod.Status.Reason)
	}
	time.Sleep(2 * time.Second)
	for _, name := range []string{"older", "newer", "newest"} {
		if p := c.alive(t, ns, name); keys.Pod.Has(p.Annotations) {
			t.Errorf("pod %s is within the threshold and carries %q", name, p.Annotations)
		}
	}
}

// finish makes a pod that has failed.
func (c *cluster) finish(t *testing.T, namespace, name, status string) {
	t.Helper()
	c.pod(t, namespace, "node-1", name)
	c.fails(t, namespace, name, status)
}

// fails makes a pod one that has failed.
func (c *cluster) fails(t *testing.T, namespace, name, status string) {
	t.Helper()
	patch := []byte(`{"status":{"phase":"Failed","reason":"` + status +
		`","message":"low on memory"}}`)
	if _, err := c.client.CoreV1().Pods(namespace).Patch(t.Context(), name, types.MergePatchType,
		patch, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
}
