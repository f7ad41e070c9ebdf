package e2e

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

const karpenterUser = "system:serviceaccount:kube-system:karpenter"

var nodeClaims = schema.GroupVersionResource{Group: "karpenter.sh", Version: "v1",
	Resource: "nodeclaims"}

// claimed has a node belong to a NodeClaim, which is disrupted if a disruption is given. Nobody here
// acts upon it.
func (c *cluster) claimed(t *testing.T, disruption string) (node, claim string) {
	t.Helper()
	if err := c.DefineNodeClaims(t.Context()); err != nil {
		t.Fatal(err)
	}
	node, claim = c.node(t).Name, unique("claim")
	u := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": claim},
		"spec": map[string]any{
			"nodeClassRef": map[string]any{"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass",
				"name": "default"},
			"requirements": []any{map[string]any{"key": corev1.LabelArchStable,
				"operator": "In", "values": []any{"amd64"}}},
		},
	}}
	u.SetAPIVersion(nodeClaims.GroupVersion().String())
	u.SetKind("NodeClaim")
	objects := c.dynamic(t).Resource(nodeClaims)
	c.eventually(t, "the NodeClaim "+claim+" is there", func(ctx context.Context) (bool, error) {
		made, err := objects.Create(ctx, u, metav1.CreateOptions{})
		if err == nil {
			u = made
		}
		return err == nil, nil // just after it was defined, a kind is not served yet
	})
	if disruption != "" {
		err := unstructured.SetNestedSlice(u.Object, []any{map[string]any{
			"type": "DisruptionReason", "status": "True", "reason": disruption,
			"message": disruption, "lastTransitionTime": "2026-11-01T12:00:00Z",
		}}, "status", "conditions")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := objects.UpdateStatus(t.Context(), u, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c.patchNode(t, node,
		map[string]any{"metadata": map[string]any{"ownerReferences": []metav1.OwnerReference{{
			APIVersion: nodeClaims.GroupVersion().String(), Kind: "NodeClaim", Name: claim,
			UID: u.GetUID(),
		}}}})
	return node, claim
}

// What Karpenter does a node for stands on its NodeClaim.
func TestNodeOfADisruptedNodeClaim(t *testing.T) {
	t.Parallel()
	node, claim := shared.claimed(t, "Drifted")
	if err := shared.as(t, karpenterUser).CoreV1().Nodes().Delete(t.Context(), node,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Node, node, reason.New(reason.Node, reason.NodeDrained,
		"NodeClaim "+claim+" is disrupted: Drifted", karpenterUser))
}

// interrupts does what Karpenter's providers do when the cloud wants a machine back (AWS:
// pkg/controllers/interruption): they say so in an Event, and delete the NodeClaim.
func (c *cluster) interrupts(t *testing.T, claim, why, message string) {
	t.Helper()
	config := c.As(karpenterUser, "system:masters")
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	u, err := objects.Resource(nodeClaims).Get(t.Context(), claim, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := metav1.Now()
	_, err = c.clientFor(t, config).CoreV1().Events(metav1.NamespaceDefault).Create(t.Context(),
		&corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: unique("event")},
			InvolvedObject: corev1.ObjectReference{APIVersion: u.GetAPIVersion(),
				Kind: u.GetKind(), Name: claim, UID: u.GetUID()},
			Type: corev1.EventTypeWarning, Reason: why, Message: message,
			Source: corev1.EventSource{Component: "karpenter"}, FirstTimestamp: now,
			LastTimestamp: now, Count: 1,
		}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// Karpenter's own finalizer: without one, the garbage collector may remove the Node first.
	finalizers := func(ctx context.Context, body string) error {
		_, err := objects.Resource(nodeClaims).Patch(ctx, claim, types.MergePatchType,
			[]byte(`{"metadata":{"finalizers":`+body+`}}`), metav1.PatchOptions{})
		return err
	}
	if err := finalizers(t.Context(), `["karpenter.sh/termination"]`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := finalizers(context.WithoutCancel(t.Context()), "null")
		if client.IgnoreNotFound(err) != nil { // a real Karpenter lets it go itself
			t.Error(err)
		}
	})
	if err := objects.Resource(nodeClaims).Delete(t.Context(), claim,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// What the cloud wants a machine back for stands in Events about its NodeClaim, which may be read
// or not.
func TestNodeOfAnInterruptedNodeClaim(t *testing.T) {
	t.Parallel()
	interrupted := func(code reason.Code, says string) {
		t.Helper()
		node, claim := shared.claimed(t, "")
		shared.interrupts(t, claim, "SpotInterrupted", "Spot interruption warning was triggered")
		if err := shared.as(t, karpenterUser).CoreV1().Nodes().Delete(t.Context(), node,
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		shared.leaves(t, reason.Node, node, reason.New(reason.Node, code,
			"NodeClaim "+claim+says, karpenterUser))
	}
	interrupted(reason.SpotInterrupted,
		", SpotInterrupted: Spot interruption warning was triggered")
	putBack := shared.withdraw(t, theClaimsRole, withdrawal{resource: "events", verb: "list",
		in: metav1.NamespaceDefault})
	defer putBack()
	interrupted(reason.NodeDrained, " was deleted")
}

// theNodeClaimIsNotRead has Karpenter delete a node while Epitaph may not read NodeClaims.
func theNodeClaimIsNotRead(t *testing.T, c *cluster) {
	node, _ := c.claimed(t, "Drifted")
	if err := c.as(t, karpenterUser).CoreV1().Nodes().Delete(t.Context(), node,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Node, node, reason.New(reason.Node, reason.NodeScaledDown,
		"by "+karpenterUser, karpenterUser))
}
