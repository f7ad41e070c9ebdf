package e2e

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/epitaph-k8s/epitaph/reason"
)

const karpenterUser = "system:serviceaccount:kube-system:karpenter"

var nodeClaims = schema.GroupVersionResource{Group: "karpenter.sh", Version: "v1",
	Resource: "nodeclaims"}

// claimed has a node belong to a NodeClaim, which is disrupted. Nobody here acts upon it.
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
	err := unstructured.SetNestedSlice(u.Object, []any{map[string]any{
		"type": "DisruptionReason", "status": "True", "reason": disruption, "message": disruption,
		"lastTransitionTime": "2026-11-01T12:00:00Z",
	}}, "status", "conditions")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := objects.UpdateStatus(t.Context(), u, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
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
