package e2e

import (
	"context"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// Both tests here delete a node with a reason, so that its pods would go at once, and create it
// anew under the same name before the collector acts. The kubelet lives on, and so must the pods.

// The node returns after the collector has seen it go, and before it has asked the API server; the
// watch lags. Only the answer to its GET says that the node is there.
func TestNodeThatReturnsBeforeTheGETKeepsItsPods(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	ns, node := c.namespace(t), c.node(t).Name
	pod := c.pod(t, ns, node, "a")
	c.annotateNode(t, node, diskOfNode)
	lag := make(chan struct{})
	between := &between{anew: c.sameNode(t, node), lag: lag}
	c.collect(t, collectorOptions{Nodes: between.see, Live: func(live client.Client) client.Reader {
		between.Reader, between.create = live, live.Create
		return between
	}})
	c.deleteNode(t, node)
	c.eventually(t, "the collector has asked for the node",
		func(context.Context) (bool, error) { return between.asked.Load() > 0, nil })
	c.collectsAnother(t, ns)
	stays(t, c, pod, 0)
	close(lag)
	c.collectsWhatComesAfter(t, ns)
	stays(t, c, pod, 0)
}

// The whole process is stopped while the node goes and returns: it learns of both at once. The pods
// die of what the second node dies of.
func TestNodeThatReturnsWhileNobodyLooksKeepsItsPods(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: alone}})
	ns, node := c.namespace(t), c.node(t).Name
	pod := c.pod(t, ns, node, "a")
	anew := c.sameNode(t, node)
	c.annotateNode(t, node, diskOfNode)
	c.patchNode(t, node,
		map[string]any{"metadata": map[string]any{"finalizers": []string{"example.com/archive"}}})
	c.deleteNode(t, node)
	goOn := c.freeze(t, "epitaph")
	patch := []byte(`{"metadata":{"finalizers":null}}`)
	if _, err := c.client.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, patch,
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	second, err := c.client.CoreV1().Nodes().Create(t.Context(), anew, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	goOn()
	c.collectsWhatComesAfter(t, ns)
	stays(t, c, pod, 0)

	c.annotateNode(t, node, reason.New(reason.Node, reason.HardwareFailure, "disk sdb", "ops"))
	if err := c.as(t, runner).CoreV1().Nodes().Delete(t.Context(), node,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &second.UID}}); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Pod, ns+"/a", reason.Reason{
		Code: reason.HardwareFailure, By: "ops",
		Text: "This pod had to be terminated because the underlying hardware failed (disk sdb)",
	})
}

// sameNode is the Node as it would register anew.
func (c *cluster) sameNode(t *testing.T, name string) *corev1.Node {
	t.Helper()
	anew, err := c.client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	anew.ObjectMeta = metav1.ObjectMeta{Name: name, Labels: anew.Labels}
	return anew
}

// collectsWhatComesAfter waits until the collector has taken up the pod of a node that leaves now:
// whatever it was told of nodes before is then done.
func (c *cluster) collectsWhatComesAfter(t *testing.T, namespace string) {
	t.Helper()
	node := c.node(t).Name
	c.pod(t, namespace, node, "on-another-node")
	c.annotateNode(t, node, diskOfNode)
	c.deleteNode(t, node)
	c.leaves(t, reason.Pod, namespace+"/on-another-node", diskOfPod)
}

// collectsAnother waits until the collector has taken up a pod that no node has to do with.
func (c *cluster) collectsAnother(t *testing.T, namespace string) {
	t.Helper()
	c.create(t, podSpec(namespace, "no-such-node", "unscheduled", finalized))
	if err := c.as(t, runner).CoreV1().Pods(namespace).Delete(t.Context(),
		"unscheduled", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.podLike(t, namespace, "unscheduled", "is failed",
		func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
}

// between has a Node return between the collector's decision to ask for it and the API server's
// answer.
type between struct {
	client.Reader
	anew   *corev1.Node
	create func(context.Context, client.Object, ...client.CreateOption) error
	lag    <-chan struct{}
	asked  atomic.Int32
}

// Get is asked for Nodes only.
func (b *between) Get(ctx context.Context, key client.ObjectKey, o client.Object,
	opts ...client.GetOption) error {
	if b.asked.Load() == 0 && key.Name == b.anew.Name {
		if err := b.create(ctx, b.anew.DeepCopy()); err != nil {
			return err
		}
	}
	b.asked.Add(1)
	return b.Reader.Get(ctx, key, o, opts...)
}

// see holds the watch up at the Node that has returned.
func (b *between) see(o any) (any, error) {
	if node, ok := o.(*corev1.Node); ok && b.asked.Load() > 0 && node.Name == b.anew.Name {
		<-b.lag
	}
	return o, nil
}
