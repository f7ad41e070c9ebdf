package e2e

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// The API server dies while the pods of a node are collected. A finalizer keeps each pod there, so
// that what happened to it can be read afterwards: a watch that broke shows only the last state it
// knew.
func TestCollectorGoesOnWhenTheAPIServerComesBack(t *testing.T) {
	t.Parallel()
	// Who loses the lease while the API server is away ends, and no kubelet starts Epitaph again
	// here.
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: alone}})
	ns, node := c.namespace(t), c.node(t).Name
	const many = 250
	c.orphans(t, ns, node, many)
	hold := []byte(`{"metadata":{"finalizers":["example.com/archive"]}}`)
	pods := c.client.CoreV1().Pods(ns)
	all := c.podsIn(t, ns)
	for _, p := range all {
		if _, err := pods.Patch(t.Context(), p.Name, types.MergePatchType, hold,
			metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c.annotateNode(t, node, diskOfNode)
	if err := c.StopKubelet(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	c.deleteNode(t, node)
	var before int
	c.eventually(t, "some pods have failed", func(context.Context) (bool, error) {
		before = failed(c.podsIn(t, ns))
		return before > 0, nil
	})
	if err := c.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if before == many {
		t.Fatalf("all %d pods had failed before the API server was killed: this tested nothing",
			many)
	}
	c.eventually(t, "all pods have failed and are being deleted",
		func(context.Context) (bool, error) {
			for _, p := range c.podsIn(t, ns) {
				if p.Status.Phase != corev1.PodFailed || p.DeletionTimestamp == nil {
					return false, nil
				}
			}
			return true, nil
		})
	left := c.podsIn(t, ns)
	if len(left) != many {
		t.Fatalf("%d pods are left, want all %d: finalizers hold them", len(left), many)
	}
	for _, p := range left {
		got, err := keys.Pod.Read(p.Annotations)
		if err != nil || got != diskOfPod {
			t.Errorf("pod %s carries %+v (%v), want %+v", p.Name, got, err, diskOfPod)
		}
	}
}

func (c *cluster) podsIn(t *testing.T, namespace string) []corev1.Pod {
	t.Helper()
	list, err := c.client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func failed(pods []corev1.Pod) (n int) {
	for _, p := range pods {
		if p.Status.Phase == corev1.PodFailed {
			n++
		}
	}
	return n
}

// A pod of the same name and another UID is not the one that the node took with it.
func TestNamesakeOfAnOrphanIsLeftAlone(t *testing.T) {
	t.Parallel()
	ns, gone, other := shared.namespace(t), shared.node(t).Name, shared.node(t).Name
	shared.annotateNode(t, gone, diskOfNode)
	old := shared.pod(t, ns, gone, "a")
	if err := shared.StopKubelet(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	shared.deleteNode(t, gone)
	d := shared.leaves(t, reason.Pod, ns+"/a", diskOfPod)
	if d.UID != old.UID {
		t.Fatalf("pod %s left, want %s", d.UID, old.UID)
	}
	young := shared.pod(t, ns, other, "a")
	if p := shared.alive(t, ns, "a"); p.UID != young.UID || keys.Pod.Has(p.Annotations) ||
		p.Status.Phase != corev1.PodRunning {
		t.Errorf("the namesake is %s in phase %s with %q", p.UID, p.Status.Phase, p.Annotations)
	}
}
