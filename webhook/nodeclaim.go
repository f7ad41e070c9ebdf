package webhook

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// claimTimeout bounds the look at a NodeClaim, one GET: what is not known in time is not said.
const claimTimeout = 200 * time.Millisecond

// What is read of a NodeClaim (sigs.k8s.io/karpenter v1.14.1 pkg/apis/v1).
const (
	karpenterGroup      = "karpenter.sh"
	nodeClaimKind       = "NodeClaim"
	disruptionCondition = "DisruptionReason"
)

// claimFacts adds what Karpenter has decided about the node, where it is one of Karpenter's and
// whoever removes it may do so for Karpenter. Most of it stands on the NodeClaim alone; where there
// are no NodeClaims, nobody is asked. A look-up that fails leaves it unknown: the sentence then
// says less, and nothing that is wrong.
func (h *Handler) claimFacts(ctx context.Context, f *reason.Facts) {
	ref, ok := claimOf(f.Node)
	if !ok || !h.clearsNodes(f) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	claim := &unstructured.Unstructured{}
	claim.SetAPIVersion(ref.APIVersion)
	claim.SetKind(ref.Kind)
	err := h.live.Get(ctx, client.ObjectKey{Name: ref.Name}, claim)
	switch {
	case apierrors.IsNotFound(err), err == nil && claim.GetUID() != ref.UID:
		f.Claim = reason.NodeClaim{Name: ref.Name, UID: ref.UID, Deleted: true}
	case err == nil:
		f.Claim = nodeClaim(claim)
	default:
		h.log.V(1).Info("the NodeClaim of a node cannot be read", "nodeClaim", ref.Name,
			"error", err.Error())
	}
}

// clearsNodes tells whether the deletion may follow from what Karpenter does with the node: one of
// the Node, or one of a pod there because of the node, which does not carry its reason yet.
func (h *Handler) clearsNodes(f *reason.Facts) bool {
	actor := h.inferrer.ActorOf(f.Remover.User, f.Remover.Groups)
	if f.Pod == nil {
		return actor != reason.Person
	}
	_, untold := h.inferrer.Keys.Node.Read(f.Node.Annotations)
	return untold != nil && (f.Remover.Evicts || actor == reason.Autoscaler)
}

// claimOf is the NodeClaim in the Node's owner references.
func claimOf(node *corev1.Node) (metav1.OwnerReference, bool) {
	if node == nil {
		return metav1.OwnerReference{}, false
	}
	n := slices.IndexFunc(node.OwnerReferences, func(o metav1.OwnerReference) bool {
		version, err := schema.ParseGroupVersion(o.APIVersion)
		return err == nil && version.Group == karpenterGroup && o.Kind == nodeClaimKind
	})
	if n < 0 {
		return metav1.OwnerReference{}, false
	}
	return node.OwnerReferences[n], true
}

func nodeClaim(u *unstructured.Unstructured) reason.NodeClaim {
	c := reason.NodeClaim{Name: u.GetName(), UID: u.GetUID(),
		Deleted: u.GetDeletionTimestamp() != nil, Expired: expired(u)}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, one := range conditions {
		condition, _ := one.(map[string]any)
		if condition["type"] == disruptionCondition &&
			condition["status"] == string(metav1.ConditionTrue) {
			c.Disruption, _ = condition["reason"].(string)
		}
	}
	return c
}

// expired tells whether the NodeClaim was deleted when its time was over. Karpenter says nothing
// then, but it deletes at once (pkg/controllers/nodeclaim/expiration).
func expired(u *unstructured.Unstructured) bool {
	after, _, _ := unstructured.NestedString(u.Object, "spec", "expireAfter")
	age, err := time.ParseDuration(after) // of "Never" it makes an error
	deleted := u.GetDeletionTimestamp()
	return err == nil && deleted != nil && !deleted.Time.Before(u.GetCreationTimestamp().Add(age))
}
