package e2e

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	nodePoolLabel = "karpenter.sh/nodepool"
	// karpenterPatience is for what Karpenter thinks over: it validates a consolidation for 15 s,
	// and waits for a pod that does not end for a minute.
	karpenterPatience = 5 * time.Minute
)

var (
	nodePools = schema.GroupVersionResource{Group: "karpenter.sh", Version: "v1",
		Resource: "nodepools"}
	kwokClass = schema.GroupVersionResource{Group: "karpenter.kwok.sh", Version: "v1alpha1",
		Resource: "kwoknodeclasses"}
)

// The real Karpenter makes nodes with its kwok provider, and takes them away for each of its
// reasons. On the Node it leaves the same taint each time, or none.
func TestKarpenterSaysWhyNodesGo(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: quick}})
	c.spent = true // Karpenter has machines of its own here.
	if err := c.StartKarpenter(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := &karpenterCluster{cluster: c, objects: c.dynamic(t)}
	class := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "default"}}}
	class.SetAPIVersion(kwokClass.GroupVersion().String())
	class.SetKind("KWOKNodeClass")
	if _, err := k.objects.Resource(kwokClass).Create(t.Context(), class,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	together(t, map[string]func(*testing.T){
		"drifted": k.drifts, "expired": k.expires, "emptied": k.empties,
		"underutilized": k.isUnderutilized, "interrupted": k.isInterrupted,
		"repaired": k.isRepaired, "repaired without a word": k.isRepairedWithoutAWord,
		"its NodeClaim deleted": k.claimIsDeleted, "its NodePool deleted": k.poolIsDeleted,
	})
}

func (c *cluster) dynamic(t *testing.T) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// A karpenterCluster is one with Karpenter in it.
type karpenterCluster struct {
	*cluster
	objects dynamic.Interface
}

// pool makes a NodePool whose nodes go only for what disruption and expireAfter say.
func (k *karpenterCluster) pool(t *testing.T, expireAfter string,
	disruption map[string]any) (name string) {
	t.Helper()
	name = unique("pool")
	in := func(key string, values ...any) any {
		return map[string]any{"key": key, "operator": "In", "values": values}
	}
	labels := map[string]any{}
	for key, value := range sandbox.KubeletLabels() {
		labels[key] = value
	}
	pool := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"disruption": disruption,
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec": map[string]any{
					"expireAfter": expireAfter,
					"nodeClassRef": map[string]any{"group": kwokClass.Group,
						"kind": "KWOKNodeClass", "name": "default"},
					"requirements": []any{
						in("karpenter.sh/capacity-type", "on-demand"),
						in(corev1.LabelArchStable, "amd64"), in(corev1.LabelOSStable, "linux"),
					},
				},
			},
		},
	}}
	pool.SetAPIVersion(nodePools.GroupVersion().String())
	pool.SetKind("NodePool")
	if _, err := k.objects.Resource(nodePools).Create(t.Context(), pool,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

// unconsolidated is the disruption of a NodePool that consolidates nothing.
func unconsolidated() map[string]any {
	return map[string]any{"consolidationPolicy": "WhenEmpty", "consolidateAfter": "Never"}
}

// inPool asks for a node of a NodePool.
func inPool(pool, cpu string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		asking("", cpu)(p)
		p.Spec.NodeSelector = map[string]string{nodePoolLabel: pool}
	}
}

// runs waits until the pod runs, and returns its node and its node's NodeClaim.
func (k *karpenterCluster) runs(t *testing.T, ns, name string) (node, claim string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			k.tell(t, ns)
		}
	}()
	k.eventuallyWithin(t, karpenterPatience, "pod "+name+" runs on a node of Karpenter's",
		func(ctx context.Context) (bool, error) {
			p, err := k.client.CoreV1().Pods(ns).Get(ctx, name, metav1.GetOptions{})
			if err != nil || p.Status.Phase != corev1.PodRunning {
				return false, err
			}
			n, err := k.client.CoreV1().Nodes().Get(ctx, p.Spec.NodeName, metav1.GetOptions{})
			if err != nil || len(n.OwnerReferences) != 1 {
				return false, err
			}
			node, claim = n.Name, n.OwnerReferences[0].Name
			return true, nil
		})
	return node, claim
}

// tell logs what Karpenter and the cluster say of a pod that does not run.
func (k *karpenterCluster) tell(t *testing.T, ns string) {
	t.Helper()
	for _, args := range [][]string{
		{"describe", "pods"}, {"get", "nodeclaims,nodes", "-o", "wide"},
	} {
		out, err := k.kubectl(t, ns, args...)
		t.Logf("kubectl %q: %s (%v)", args, out, err)
	}
}

// gone waits until the object has left, and compares what it left with.
func (k *karpenterCluster) gone(t *testing.T, s reason.Subject, name string, code reason.Code,
	detail string) {
	t.Helper()
	k.eventuallyWithin(t, karpenterPatience, s.String()+" "+name+" goes",
		func(context.Context) (bool, error) {
			_, saw := k.witness.Saw(s, name)
			return saw, nil
		})
	k.leaves(t, s, name, reason.New(s, code, detail, karpenterUser))
}

// aPod has a pod run in a pool, and returns its node and NodeClaim.
func (k *karpenterCluster) aPod(t *testing.T, pool string) (ns, node, claim string) {
	t.Helper()
	ns = k.namespace(t)
	k.create(t, podSpec(ns, "", "p", inPool(pool, "1")))
	node, claim = k.runs(t, ns, "p")
	return ns, node, claim
}

// The template of the NodePool changes: Karpenter starts another node and then drains this one.
func (k *karpenterCluster) drifts(t *testing.T) {
	pool := k.pool(t, "Never", unconsolidated())
	ns, node, claim := k.aPod(t, pool)
	change := encode(t,
		map[string]any{"spec": map[string]any{
			"template": map[string]any{"metadata": map[string]any{
				"labels": map[string]any{"example.com/image": "newer"},
			}}}})
	if _, err := k.objects.Resource(nodePools).Patch(t.Context(), pool, types.MergePatchType,
		change, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	k.gone(t, reason.Pod, ns+"/p", reason.NodeDrained, "NodeClaim "+claim+" is disrupted: Drifted")
	k.gone(t, reason.Node, node, reason.NodeDrained, "NodeClaim "+claim+" is disrupted: Drifted")
}

// The node's time is over. Karpenter says so nowhere but in a metric.
func (k *karpenterCluster) expires(t *testing.T) {
	ns, node, claim := k.aPod(t, k.pool(t, "60s", unconsolidated()))
	k.gone(t, reason.Pod, ns+"/p", reason.NodeDrained, "NodeClaim "+claim+" has expired")
	k.gone(t, reason.Node, node, reason.NodeDrained, "NodeClaim "+claim+" has expired")
}

// The only pod of the node goes: there is nothing to keep the node for.
func (k *karpenterCluster) empties(t *testing.T) {
	ns, node, claim := k.aPod(t,
		k.pool(t, "Never", map[string]any{"consolidationPolicy": "WhenEmpty",
			"consolidateAfter": "0s"}))
	k.remove(t, k.as(t, runner), ns, "p")
	k.gone(t, reason.Node, node, reason.NodeScaledDown, "NodeClaim "+claim+" is disrupted: Empty")
}

// The larger of two pods goes, and the other one fits on a cheaper node.
func (k *karpenterCluster) isUnderutilized(t *testing.T) {
	pool := k.pool(t, "Never", map[string]any{"consolidationPolicy": "WhenEmptyOrUnderutilized",
		"consolidateAfter": "0s"})
	ns := k.namespace(t)
	k.create(t, podSpec(ns, "", "large", inPool(pool, "14")))
	k.create(t, podSpec(ns, "", "small", inPool(pool, "500m")))
	k.runs(t, ns, "large")
	node, claim := k.runs(t, ns, "small")
	k.remove(t, k.as(t, runner), ns, "large")
	k.gone(t, reason.Pod, ns+"/small", reason.NodeScaledDown,
		"NodeClaim "+claim+" is disrupted: Underutilized")
	k.gone(t, reason.Node, node, reason.NodeScaledDown,
		"NodeClaim "+claim+" is disrupted: Underutilized")
}

// The cloud interrupts the machine. The kwok provider has no queue of interruptions, so this does
// what the controllers that read one do.
func (k *karpenterCluster) isInterrupted(t *testing.T) {
	ns, node, claim := k.aPod(t, k.pool(t, "Never", unconsolidated()))
	k.interrupts(t, claim, "SpotInterrupted", "Spot interruption warning was triggered")
	says := "NodeClaim " + claim + ", SpotInterrupted: Spot interruption warning was triggered"
	k.gone(t, reason.Node, node, reason.SpotInterrupted, says)
	k.gone(t, reason.Pod, ns+"/p", reason.SpotInterrupted, says)
}

// A person deletes the NodeClaim, and somebody else once more.
func (k *karpenterCluster) claimIsDeleted(t *testing.T) {
	ns, node, claim := k.aPod(t, k.pool(t, "Never", unconsolidated()))
	for _, args := range [][]string{
		{"annotate", "nodeclaim", claim, keys.Pod.Reason + "=its disk is slow"},
		{"delete", "nodeclaim", claim, "--wait=false"},
		{"delete", "nodeclaim", claim, "--wait=false", "--as=bob", "--ignore-not-found"},
	} {
		if out, err := k.kubectl(t, ns, args...); err != nil {
			t.Fatalf("kubectl %q: %s (%v)", args, out, err)
		}
	}
	says := "alice deleted NodeClaim " + claim + ": its disk is slow"
	k.gone(t, reason.Pod, ns+"/p", reason.NodeDrained, says)
	k.gone(t, reason.Node, node, reason.NodeDrained, says)
}

// A person deletes the NodePool: the garbage collector deletes its NodeClaims.
func (k *karpenterCluster) poolIsDeleted(t *testing.T) {
	pool := k.pool(t, "Never", unconsolidated())
	ns, node, _ := k.aPod(t, pool)
	if out, err := k.kubectl(t, ns, "delete", "nodepool", pool, "--wait=false"); err != nil {
		t.Fatalf("%s (%v)", out, err)
	}
	says := "alice deleted NodePool " + pool
	k.gone(t, reason.Pod, ns+"/p", reason.NodeDrained, says)
	k.gone(t, reason.Node, node, reason.NodeDrained, says)
}

// The node does not answer, for longer than its repair policy tolerates. Nobody waits for these ten
// minutes here.
func (k *karpenterCluster) isRepaired(t *testing.T) {
	ns, node, _ := k.aPod(t, k.pool(t, "Never", unconsolidated()))
	if err := k.StopKubelet(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	k.eventually(t, "node "+node+" is Unknown, and has been for long",
		func(ctx context.Context) (bool, error) {
			n, err := k.client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			for i := range n.Status.Conditions {
				if ready := &n.Status.Conditions[i]; ready.Type == corev1.NodeReady &&
					ready.Status == corev1.ConditionUnknown {
					ready.LastTransitionTime = metav1.NewTime(time.Now().Add(-time.Hour))
					_, err := k.client.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{})
					return err == nil, ignoreConflict(err)
				}
			}
			return false, nil
		})
	k.gone(t, reason.Node, node, reason.NodeUnreachable, "Ready=Unknown: NodeStatusUnknown")
	k.gone(t, reason.Pod, ns+"/p", reason.NodeUnreachable, "Ready=Unknown: NodeStatusUnknown")
}

// The node has a condition of which its repair policy does not tolerate more than ten minutes, and
// which does not tell by itself what becomes of it. Nobody waits for these here.
func (k *karpenterCluster) isRepairedWithoutAWord(t *testing.T) {
	ns, node, claim := k.aPod(t, k.pool(t, "Never", unconsolidated()))
	forget := map[string]any{}
	for key := range sandbox.KubeletLabels() {
		forget[key] = nil
	}
	// Its kubelet would write that it is Ready; its Lease is renewed all the same.
	k.patchNode(t, node, map[string]any{"metadata": map[string]any{"labels": forget}})
	k.eventuallyWithin(t, karpenterPatience, "node "+node+" is repaired",
		func(ctx context.Context) (bool, error) {
			n, err := k.client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
			if apierrors.IsNotFound(err) || err == nil && n.DeletionTimestamp != nil {
				return true, nil
			}
			for i := range n.Status.Conditions {
				ready := &n.Status.Conditions[i]
				if err != nil || ready.Type != corev1.NodeReady ||
					ready.Status == corev1.ConditionFalse {
					continue
				}
				ready.Status, ready.Reason = corev1.ConditionFalse, "KubeletNotReady"
				ready.Message = "node is shutting down"
				ready.LastTransitionTime = metav1.NewTime(time.Now().Add(-time.Hour))
				_, err = k.client.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{})
			}
			return false, ignoreConflict(err)
		})
	says := "NodeClaim " + claim + " was deleted as unhealthy"
	k.gone(t, reason.Node, node, reason.NodeUnreachable, says)
	k.gone(t, reason.Pod, ns+"/p", reason.NodeUnreachable, says)
}
