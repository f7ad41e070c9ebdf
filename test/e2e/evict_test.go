package e2e

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

func evict(t *testing.T, c *kubernetes.Clientset, namespace, name string,
	change ...func(*policyv1.Eviction)) error {
	t.Helper()
	e := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		DeleteOptions: &metav1.DeleteOptions{}}
	for _, f := range change {
		f(e)
	}
	return c.PolicyV1().Evictions(namespace).Evict(t.Context(), e)
}

func graceless(e *policyv1.Eviction) { e.DeleteOptions.GracePeriodSeconds = ptr.To(int64(0)) }

// budget keeps the pods of a namespace that are labelled app=guarded from being evicted, until it
// is opened.
func (c *cluster) budget(t *testing.T, namespace string) (open func()) {
	t.Helper()
	budgets := c.client.PolicyV1().PodDisruptionBudgets(namespace)
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "guard"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: ptr.To(intstr.FromInt32(0)),
			Selector:       &metav1.LabelSelector{MatchLabels: map[string]string{"app": "guarded"}},
		}}
	if _, err := budgets.Create(t.Context(), b, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the budget was counted", func(ctx context.Context) (bool, error) {
		b, err := budgets.Get(ctx, "guard", metav1.GetOptions{})
		return err == nil && b.Status.ObservedGeneration == b.Generation, err
	})
	return func() {
		if err := budgets.Delete(t.Context(), "guard", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func guarded(p *corev1.Pod) { p.Labels = map[string]string{"app": "guarded"} }

func TestEvictionNamesTheEvictor(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a")
	if err := evict(t, shared.as(t, "alice"), ns, "a"); err != nil {
		t.Fatal(err)
	}
	d := shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{})
	if d.Reason.Code != reason.Evicted || d.Reason.By != "alice" ||
		!strings.Contains(string(d.Reason.Text), "alice") {
		t.Errorf("left with %+v, want it evicted by alice", d.Reason)
	}
}

func TestEvictionAdoptsWhatTheRequesterSays(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a")
	const descheduler = "system:serviceaccount:kube-system:descheduler"
	err := evict(t, shared.as(t, descheduler), ns, "a", func(e *policyv1.Eviction) {
		e.Annotations = map[string]string{"reason": "triggered by default/LowNodeUtilization",
			"requested-by": "sigs.k8s.io/descheduler"}
	})
	if err != nil {
		t.Fatal(err)
	}
	d := shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{})
	for _, part := range []string{"triggered by default/LowNodeUtilization",
		"sigs.k8s.io/descheduler"} {
		if !strings.Contains(string(d.Reason.Text), part) {
			t.Errorf("left with %q, which lacks %q", d.Reason.Text, part)
		}
	}
}

func TestRefusedEvictionLeavesNoTrace(t *testing.T) {
	t.Parallel()
	ns, node, alice := shared.namespace(t), shared.node(t).Name, shared.as(t, "alice")
	before := shared.pod(t, ns, node, "a", guarded)
	open := shared.budget(t, ns)
	for range 20 {
		if err := evict(t, alice, ns, "a"); !apierrors.IsTooManyRequests(err) {
			t.Fatalf("the eviction ended with %v, want it refused by the budget", err)
		}
		if err := evict(t, alice, ns, "a", graceless); !apierrors.IsTooManyRequests(err) {
			t.Fatalf("the eviction without grace ended with %v, want it refused by the budget", err)
		}
	}
	if after := shared.alive(t, ns, "a"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("refused evictions wrote to the pod: %q", after.Annotations)
	}
	open()
	shared.eventually(t, "the eviction goes through",
		func(context.Context) (bool, error) { return evict(t, alice, ns, "a") == nil, nil })
	if d := shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{}); d.Reason.By != "alice" ||
		d.Reason.Code != reason.Evicted {
		t.Errorf("left with %+v, want it evicted by alice", d.Reason)
	}
}

func TestEvictedPodsThatVanishAtOnceHaveTheirReason(t *testing.T) {
	t.Parallel()
	ns, node, alice := shared.namespace(t), shared.node(t).Name, shared.as(t, "alice")
	shared.pod(t, ns, node, "running")
	waiting := podSpec(ns, node,
		"waiting",
		func(p *corev1.Pod) {
			p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}}
		})
	if _, err := shared.client.CoreV1().Pods(ns).Create(t.Context(), waiting,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := evict(t, alice, ns, "running", graceless); err != nil {
		t.Error(err)
	}
	if err := evict(t, alice, ns, "waiting"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"running", "waiting"} {
		if d := shared.leaves(t, reason.Pod, ns+"/"+name,
			reason.Reason{}); d.Reason.By != "alice" || d.Reason.Code != reason.Evicted {
			t.Errorf("%s left with %+v, want it evicted by alice", name, d.Reason)
		}
	}
}

func withoutGrace(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = ptr.To(int64(0)) }

// An eviction that says nothing of grace leaves it to the pod.
func TestEvictedPodWithoutGraceOfItsOwnHasItsReason(t *testing.T) {
	t.Parallel()
	ns, node, alice := shared.namespace(t), shared.node(t).Name, shared.as(t, "alice")
	shared.pod(t, ns, node, "free", withoutGrace)
	before := shared.pod(t, ns, node, "a", withoutGrace, guarded)
	open := shared.budget(t, ns)
	for range 5 {
		if err := evict(t, alice, ns, "a"); !apierrors.IsTooManyRequests(err) {
			t.Fatalf("the eviction ended with %v, want it refused by the budget", err)
		}
	}
	if after := shared.alive(t, ns, "a"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("refused evictions wrote to the pod: %q", after.Annotations)
	}
	open()
	for _, name := range []string{"free", "a"} {
		shared.eventually(t, "the eviction goes through",
			func(context.Context) (bool, error) { return evict(t, alice, ns, name) == nil, nil })
		if d := shared.leaves(t, reason.Pod, ns+"/"+name,
			reason.Reason{}); d.Reason.By != "alice" || d.Reason.Code != reason.Evicted {
			t.Errorf("%s left with %+v, want it evicted by alice", name, d.Reason)
		}
	}
}

// unready says of a pod that it is not ready, as its kubelet would, and returns what it then is.
func (c *cluster) unready(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	const patch = `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`
	p, err := c.client.CoreV1().Pods(namespace).Patch(t.Context(), name,
		types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The budget of these tests allows no disruption, but lets unready pods go by its policy.
func TestUnreadyPodsThatABudgetLetsGoHaveTheirReason(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		policy  policyv1.UnhealthyPodEvictionPolicyType
		healthy bool // There is a ready pod beside, which is all that the budget wants.
		refused bool
	}{
		"AlwaysAllow":                           {policy: policyv1.AlwaysAllow},
		"IfHealthyBudget, enough are healthy":   {policy: policyv1.IfHealthyBudget, healthy: true},
		"by default, enough are healthy":        {healthy: true},
		"IfHealthyBudget, too few are healthy":  {policy: policyv1.IfHealthyBudget, refused: true},
		"by default, with too few of them well": {refused: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns, node, alice := shared.namespace(t), shared.node(t).Name, shared.as(t, "alice")
			budgets, healthy := shared.client.PolicyV1().PodDisruptionBudgets(ns), int32(0)
			shared.pod(t, ns, node, "a", guarded)
			before := shared.unready(t, ns, "a")
			if tt.healthy {
				healthy = 1
				shared.pod(t, ns, node, "beside", guarded)
			}
			b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "guard"},
				Spec: policyv1.PodDisruptionBudgetSpec{
					MinAvailable: ptr.To(intstr.FromInt32(1)),
					Selector: &metav1.LabelSelector{
						MatchLabels: map[string]string{"app": "guarded"}},
				}}
			if tt.policy != "" {
				b.Spec.UnhealthyPodEvictionPolicy = &tt.policy
			}
			if _, err := budgets.Create(t.Context(), b, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			shared.eventually(t, "the budget was counted", func(ctx context.Context) (bool, error) {
				b, err := budgets.Get(ctx, "guard", metav1.GetOptions{})
				return err == nil && b.Status.ObservedGeneration == b.Generation &&
					b.Status.CurrentHealthy == healthy, err
			})
			err := evict(t, alice, ns, "a", graceless)
			if tt.refused {
				if !apierrors.IsTooManyRequests(err) {
					t.Fatalf("the eviction ended with %v, want it refused by the budget", err)
				}
				if after := shared.alive(t, ns,
					"a"); after.ResourceVersion != before.ResourceVersion {
					t.Errorf("the refused eviction wrote to the pod: %q", after.Annotations)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := shared.leaves(t, reason.Pod,
				ns+"/a",
				reason.Reason{}); d.Reason.By != "alice" || d.Reason.Code != reason.Evicted {
				t.Errorf("left with %+v, want it evicted by alice", d.Reason)
			}
		})
	}
}

// Two budgets that cover one pod are an error to the API server.
func TestEvictionUnderTwoBudgetsLeavesNoTrace(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	before := shared.pod(t, ns, node, "a", guarded)
	for _, name := range []string{"one", "other"} {
		b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: policyv1.PodDisruptionBudgetSpec{
				MinAvailable: ptr.To(intstr.FromInt32(0)),
				Selector: &metav1.LabelSelector{
					MatchLabels: map[string]string{"app": "guarded"}},
			}}
		if _, err := shared.client.PolicyV1().PodDisruptionBudgets(ns).Create(t.Context(), b,
			metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		shared.eventually(t, "budget "+name+" allows a disruption",
			func(ctx context.Context) (bool, error) {
				b, err := shared.client.PolicyV1().PodDisruptionBudgets(ns).Get(ctx, name,
					metav1.GetOptions{})
				return err == nil && b.Status.DisruptionsAllowed == 1, err
			})
	}
	if err := evict(t, shared.as(t, "alice"), ns, "a", graceless); err == nil ||
		!strings.Contains(err.Error(), "more than one PodDisruptionBudget") {
		t.Fatalf("the eviction ended with %v, want that there is more than one budget", err)
	}
	if after := shared.alive(t, ns, "a"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the refused eviction wrote to the pod: %q", after.Annotations)
	}
}

// An eviction that means another pod, or an older version of it, must stay refused: our write must
// not make it fit.
func TestEvictionWhosePreconditionsFailIsRefused(t *testing.T) {
	t.Parallel()
	ns, node, alice := shared.namespace(t), shared.node(t).Name, shared.as(t, "alice")
	before := shared.pod(t, ns, node, "a")
	for name, only := range map[string]metav1.Preconditions{
		"another pod":      {UID: ptr.To[types.UID]("another")},
		"an older version": {ResourceVersion: ptr.To("1")},
	} {
		err := evict(t, alice, ns, "a", graceless,
			func(e *policyv1.Eviction) { e.DeleteOptions.Preconditions = &only })
		if !apierrors.IsConflict(err) {
			t.Errorf("the eviction of %s ended with %v, want a conflict", name, err)
		}
	}
	if after := shared.alive(t, ns, "a"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("refused evictions wrote to the pod: %q", after.Annotations)
	}
}

func TestDryRunOfAnEvictionWritesNothing(t *testing.T) {
	t.Parallel()
	ns, node, alice := shared.namespace(t), shared.node(t).Name, shared.as(t, "alice")
	before := shared.pod(t, ns, node, "a")
	err := evict(t, alice, ns, "a", graceless,
		func(e *policyv1.Eviction) { e.DeleteOptions.DryRun = []string{metav1.DryRunAll} })
	if err != nil {
		t.Fatal(err)
	}
	if after := shared.alive(t, ns, "a"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the dry run wrote to the pod: %q", after.Annotations)
	}
}

func TestEvictionBoundToAResourceVersionIsRewritten(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	p := shared.pod(t, ns, node, "a")
	err := evict(t, shared.as(t, "alice"), ns, "a", graceless, func(e *policyv1.Eviction) {
		e.DeleteOptions.Preconditions = &metav1.Preconditions{ResourceVersion: &p.ResourceVersion}
	})
	if err != nil {
		t.Fatalf("the eviction ended with %v, although nobody but us wrote to the pod", err)
	}
	if d := shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{}); d.Reason.By != "alice" {
		t.Errorf("left with %+v, want it evicted by alice", d.Reason)
	}
}

func TestKubectlDrain(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a")
	shared.pod(t, ns, node, "b", guarded)
	open := shared.budget(t, ns)
	drain := func(timeout string) (string, error) {
		cmd := exec.CommandContext(t.Context(), shared.Programs["kubectl"],
			"--kubeconfig", shared.Kubeconfig,
			"drain", node, "--force", "--timeout", timeout)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := drain("3s"); err == nil {
		t.Fatalf("the drain went through although a budget refuses: %s", out)
	}
	if p := shared.alive(t, ns, "b"); keys.Pod.Has(p.Annotations) {
		t.Errorf("the refused eviction left %q", p.Annotations)
	}
	open()
	if out, err := drain("60s"); err != nil {
		t.Fatalf("the drain: %v: %s", err, out)
	}
	for _, name := range []string{"a", "b"} {
		d := shared.leaves(t, reason.Pod, ns+"/"+name, reason.Reason{})
		if d.Reason.Code != reason.NodeDrained || d.Reason.By != "kubernetes-admin" {
			t.Errorf("pod %s left with %+v, want it drained by kubernetes-admin", name, d.Reason)
		}
	}
}

func TestReasonsCopiedInAtCreationAreTakenOff(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a", func(p *corev1.Pod) {
		p.Annotations = map[string]string{keys.Pod.Reason: "of another pod",
			keys.Pod.Code: "KernelPanic", "example.com/kept": "yes"}
	})
	p := shared.alive(t, ns, "a")
	if keys.Pod.Has(p.Annotations) || p.Annotations[keys.Pod.Code] != "" ||
		p.Annotations["example.com/kept"] != "yes" {
		t.Errorf("the pod was created with %q", p.Annotations)
	}
}

// A delete that conflicts leaves our reason on a pod that lives on; a later, different death must
// not inherit it.
func TestLeftoversAreTakenOff(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	p := shared.pod(t, ns, node, "a")
	stale := metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0)),
		Preconditions: &metav1.Preconditions{ResourceVersion: &p.ResourceVersion}}
	if err := shared.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(),
		"a", stale); !apierrors.IsConflict(err) {
		t.Fatalf("the delete ended with %v, want a conflict", err)
	}
	if p := shared.alive(t, ns, "a"); !keys.Pod.Has(p.Annotations) {
		t.Fatal("there is no leftover to take off")
	}
	own := shared.pod(t, ns, node, "b")
	shared.annotate(t, ns, "b", "my own words")
	stale.Preconditions.ResourceVersion = &own.ResourceVersion
	if err := shared.as(t, "alice").CoreV1().Pods(ns).Delete(t.Context(),
		"b", stale); !apierrors.IsConflict(err) {
		t.Fatalf("the delete ended with %v, want a conflict", err)
	}
	shared.eventuallyWithin(t, leftoverPatience,
		"the leftover is taken off", func(context.Context) (bool, error) {
			p := shared.alive(t, ns, "a")
			return !keys.Pod.Has(p.Annotations) && p.Annotations[keys.Pod.By] == "", nil
		})
	if p := shared.alive(t, ns, "b"); p.Annotations[keys.Pod.Reason] != "my own words" {
		t.Errorf("somebody's own words became %q", p.Annotations)
	}
}

// Whoever may write to a pod can write a mark of any time: one of the far future is taken off, and
// nothing waits for it.
func TestMarkOfTheFutureIsTakenOff(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a")
	shared.annotateAll(t, ns,
		"a", map[string]string{reason.WrittenKey: "9998-12-31T23:59:00Z asked " + tenant})
	shared.eventually(t, "the mark is taken off", func(context.Context) (bool, error) {
		_, marked := shared.alive(t, ns, "a").Annotations[reason.WrittenKey]
		return !marked, nil
	})
}
