package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

var diskOfNode = reason.New(reason.Node, reason.HardwareFailure, "disk sda", "ops")

var diskOfPod = reason.Reason{
	Code: reason.HardwareFailure, By: "ops",
	Text: "This pod had to be terminated because the underlying hardware failed (disk sda)",
}

// orphans creates pods that are bound to a node when they are created: there is no need to wait for
// a kubelet.
func (c *cluster) orphans(t *testing.T, namespace, node string, n int) []string {
	t.Helper()
	var names []string
	for i := range n {
		p := podSpec(namespace, node, fmt.Sprintf("p-%d", i), tolerant)
		p.Spec.NodeName, p.Spec.NodeSelector = node, nil
		if _, err := c.client.CoreV1().Pods(namespace).Create(t.Context(), p,
			metav1.CreateOptions{}); err != nil {
			t.Fatalf("create pod %s: %v", p.Name, err)
		}
		names = append(names, namespace+"/"+p.Name)
	}
	return names
}

// restart starts Epitaph again after a crash.
func (c *cluster) restart(t *testing.T) {
	t.Helper()
	if err := c.Epitaph.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// alone does without election: after a crash there is no lease to run out.
func alone(c *config.Config) {
	quick(c)
	c.LeaderElection.Enabled = false
}

// Each subtest puts the cluster into the state that a crash between two writes leaves, and starts
// Epitaph on it.
func TestCollectorTakesUpWhatACrashLeft(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: alone}})

	t.Run("the node is gone and on record, its pods are untouched", func(t *testing.T) {
		ns, node := c.namespace(t), c.node(t).Name
		c.annotateNode(t, node, diskOfNode)
		pods := c.orphans(t, ns, node, 3)
		if err := c.StopKubelet(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		c.dieWith(t, node)
		began := time.Now()
		c.restart(t)
		for _, pod := range pods {
			d := c.leaves(t, reason.Pod, pod, diskOfPod)
			wantFailedWith(t, d.Pod, true)
			if took := d.At.Sub(began); took > quarantine {
				t.Errorf("pod %s went %s after the restart: its node's reason was lost", pod, took)
			}
		}
	})
	t.Run("a pod is failed with its reason and not yet deleted", func(t *testing.T) {
		ns, node := c.namespace(t), c.node(t).Name
		c.annotateNode(t, node, diskOfNode)
		pods := c.orphans(t, ns, node, 2)
		c.dieWith(t, node)
		c.failHalfway(t, ns, "p-0")
		c.restart(t)
		for _, pod := range pods {
			c.leaves(t, reason.Pod, pod, diskOfPod)
		}
	})
	t.Run("nobody was there when the node left unexplained", func(t *testing.T) {
		ns, node := c.namespace(t), c.node(t).Name
		pods := c.orphans(t, ns, node, 2)
		c.Epitaph.Kill()
		c.deleteNode(t, node)
		began := time.Now()
		c.restart(t)
		for _, pod := range pods {
			d := c.leaves(t, reason.Pod, pod, reason.Reason{
				Code: reason.NodeDeleted, By: collectorName,
				Text: reason.Text("This pod had to be terminated because its node was deleted (" +
					node + ")"),
			})
			if waited := d.At.Sub(began); waited < quarantine {
				t.Errorf("pod %s went after %s, before the quarantine of %s was over", pod, waited,
					quarantine)
			}
		}
	})
	t.Run(
		"a node that came back while nobody watched keeps its pods, and what the first one died of is not theirs", func(t *testing.T) {
			ns, node := c.namespace(t), c.node(t).Name
			pod := c.pod(t, ns, node, "a")
			object, err := c.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			c.annotateNode(t, node, diskOfNode)
			c.dieWith(t, node)
			object.ObjectMeta = metav1.ObjectMeta{Name: node, Labels: object.Labels}
			if _, err := c.client.CoreV1().Nodes().Create(t.Context(), object,
				metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			c.restart(t)
			stays(t, c, pod, quarantine)
			c.Epitaph.Kill()
			c.deleteNode(t, node)
			c.restart(t)
			c.leaves(t, reason.Pod, ns+"/a", reason.Reason{
				Code: reason.NodeDeleted, By: collectorName,
				Text: reason.Text("This pod had to be terminated because its node was deleted (" +
					node + ")"),
			})
		})
	t.Run("killed again and again among many pods", func(t *testing.T) {
		ns, node := c.namespace(t), c.node(t).Name
		c.annotateNode(t, node, diskOfNode)
		pods := c.orphans(t, ns, node, 150)
		c.deleteNode(t, node)
		for range 4 {
			time.Sleep(150 * time.Millisecond)
			c.Epitaph.Kill()
			c.restart(t)
		}
		for _, pod := range pods {
			c.leaves(t, reason.Pod, pod, diskOfPod)
		}
	})
}

// dieWith kills Epitaph after it has put the node's end on record and allowed its deletion, and
// before the Node is gone. A finalizer holds the Node in that moment.
func (c *cluster) dieWith(t *testing.T, node string) {
	t.Helper()
	c.patchNode(t, node,
		map[string]any{"metadata": map[string]any{"finalizers": []string{"example.com/archive"}}})
	c.deleteNode(t, node)
	if n := c.obituariesOf(t, node); n != 1 {
		t.Fatalf("node %s has %d obituaries when its deletion is allowed, want 1", node, n)
	}
	c.Epitaph.Kill()
	patch := []byte(`{"metadata":{"finalizers":null}}`)
	if _, err := c.client.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, patch,
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// obituariesOf counts the obituaries of nodes of that name.
func (c *cluster) obituariesOf(t *testing.T, node string) int {
	t.Helper()
	data, err := c.client.RESTClient().Get().AbsPath(
		"/apis/epitaph-k8s.io/v1alpha1/nodeobituaries").Param("fieldSelector",
		"spec.nodeName="+node).DoRaw(t.Context())
	if err != nil {
		t.Fatalf("list the obituaries of node %s: %v", node, err)
	}
	list := metav1.PartialObjectMetadataList{}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

// failHalfway writes what the first of the collector's two writes to a pod writes.
func (c *cluster) failHalfway(t *testing.T, namespace, name string) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": keys.Pod.Annotations(diskOfPod)},
		"status":   map[string]any{"phase": corev1.PodFailed},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.CoreV1().Pods(namespace).Patch(t.Context(), name,
		types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
}

func TestLeaderDiesAmongTwoHundredAndFiftyPods(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: quick}})
	standby, err := c.AddEpitaph(t.Context(), sandbox.EpitaphOptions{Configure: quick})
	if err != nil {
		t.Fatal(err)
	}
	ns, node := c.namespace(t), c.node(t).Name
	c.annotateNode(t, node, diskOfNode)
	pods := c.orphans(t, ns, node, 250)
	c.deleteNode(t, node)
	// In whichever order they go.
	c.eventually(t, "the first pods are gone",
		func(context.Context) (bool, error) { return len(c.podsIn(t, ns)) < len(pods), nil })
	c.Epitaph.Kill()
	if !standby.Running() {
		t.Fatal("the standby does not run")
	}
	if len(c.podsIn(t, ns)) == 0 {
		t.Fatal("the leader was done before it was killed: this run shows nothing")
	}
	for _, pod := range pods {
		c.leaves(t, reason.Pod, pod, diskOfPod)
	}
	// Two writes a pod. What the one that was killed had in hand is written again, and the audit
	// log may have the first time as timed out (504), since nobody was left to answer, though it
	// was written.
	writes := c.audited(t, func(e auditEvent) bool {
		return e.byEpitaph() && e.ObjectRef.Resource == "pods" && e.ObjectRef.Namespace == ns &&
			e.ResponseStatus.Code < 300
	})
	inHand := c.Epitaph.Config.GC.Workers
	if least, most := 2*len(pods)-inHand, 2*len(pods)+inHand; len(writes) < least ||
		len(writes) > most {
		t.Errorf("%d writes to %d pods succeeded, want two each: %d to %d", len(writes), len(pods),
			least, most)
	}
}
