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

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// claimTimeout bounds the look-up of a NodeClaim, of who deleted it and of what is said about
	// it: what is not known in time is left out.
	claimTimeout = time.Second
	// maxClaimEvents bounds the Events about one NodeClaim that are read, maxEventMessageBytes what
	// is kept of each. Whoever may create Events can write them.
	maxClaimEvents, maxEventMessageBytes = 32, 256
)

// What is read of a NodeClaim (sigs.k8s.io/karpenter v1.14.1 pkg/apis/v1).
const (
	karpenterGroup      = "karpenter.sh"
	nodeClaimKind       = "NodeClaim"
	nodePoolKind        = "NodePool"
	disruptionCondition = "DisruptionReason"
	terminationTime     = karpenterGroup + "/nodeclaim-termination-timestamp"
)

// claimFacts adds what Karpenter has decided about the node, where it is one of Karpenter's and
// whoever removes it may do so for Karpenter. Most of it is found on the NodeClaim alone; where
// there are no NodeClaims, nothing is read. If the look-up fails, it stays unknown: the sentence
// then says less, but nothing false. It reports whether there was time for it.
func (h *Handler) claimFacts(ctx context.Context, f *reason.Facts) (known bool) {
	ref, ok := claimOf(f.Node)
	if !ok || !h.clearsNodes(f) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	defer func() { known = ctx.Err() == nil }()
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
	if !f.Claim.Deleted || f.Claim.Disruption != "" || f.Claim.Expired {
		return known
	}
	if h.owners != nil {
		f.Claim.End = h.claimEnd(ctx, ref)
	}
	if f.Claim.End.By == "" {
		f.Claim.Said = h.claimEvents(ctx, ref)
	}
	return known
}

// claimEvents returns what is said of the NodeClaim in Events. Those about objects without a
// namespace are in the namespace "default".
func (h *Handler) claimEvents(ctx context.Context,
	ref metav1.OwnerReference) (said []reason.ClaimWords) {
	events := &corev1.EventList{}
	err := h.live.List(ctx, events, client.InNamespace(metav1.NamespaceDefault),
		client.MatchingFields{"involvedObject.uid": string(ref.UID)}, client.Limit(maxClaimEvents))
	if err != nil {
		h.log.V(1).Info("what is said of a NodeClaim is not known", "error",
			reason.Clean(err.Error()))
		return nil
	}
	for n := range events.Items {
		said = append(said, reason.ClaimWords{Reason: events.Items[n].Reason,
			Message: reason.CleanTo(events.Items[n].Message, maxEventMessageBytes)})
	}
	return said
}

// claimEnd is who deleted the NodeClaim; zero if that is not known.
func (h *Handler) claimEnd(ctx context.Context, ref metav1.OwnerReference) reason.OwnerEnd {
	record, err := h.owners.Of(ctx, audit.Deed{Kind: reason.KindIn(ref.APIVersion, ref.Kind),
		Name: ref.Name, UID: ref.UID})
	if err != nil {
		h.log.V(1).Info("who deleted a NodeClaim is not known", "error",
			reason.Clean(err.Error()))
	}
	if record == nil || record.UID != ref.UID || record.Did != string(reason.Deletes) {
		return reason.OwnerEnd{}
	}
	return audit.EndOf(record)
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
		Deleted: u.GetDeletionTimestamp() != nil, Expired: expired(u), Unhealthy: unhealthy(u)}
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

// expired tells whether the NodeClaim was deleted because its lifetime had ended. Karpenter does
// not say so, but deletes it at once (pkg/controllers/nodeclaim/expiration).
func expired(u *unstructured.Unstructured) bool {
	after, _, _ := unstructured.NestedString(u.Object, "spec", "expireAfter")
	age, err := time.ParseDuration(after) // of "Never" it makes an error
	deleted := u.GetDeletionTimestamp()
	return err == nil && deleted != nil && !deleted.Time.Before(u.GetCreationTimestamp().Add(age))
}

// unhealthy tells whether Karpenter deleted the NodeClaim without a time for its pods, as its node
// repair does (pkg/controllers/node/health), and its provider for AWS where an instance fails its
// status checks: both write that its time is over before they delete it. For all others Karpenter
// writes when its terminationGracePeriod ends (pkg/controllers/nodeclaim/lifecycle).
func unhealthy(u *unstructured.Unstructured) bool {
	deleted := u.GetDeletionTimestamp()
	over, err := time.Parse(time.RFC3339, u.GetAnnotations()[terminationTime])
	grace, _, _ := unstructured.NestedString(u.Object, "spec", "terminationGracePeriod")
	none, parseErr := time.ParseDuration(grace)
	return err == nil && deleted != nil && !over.After(deleted.Time) &&
		(parseErr != nil || none > 0)
}
