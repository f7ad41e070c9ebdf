package reason

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A NodeClaim is Karpenter's request for the machine of a Node. Karpenter records its decisions
// there: on the Node it leaves one and the same taint, whatever the cause.
type NodeClaim struct {
	Name string
	// UID. A NodeClaim that is not in the Node's owner references says nothing; neither does the
	// zero value.
	UID types.UID
	// Disruption is the reason of its condition DisruptionReason, if that is True.
	Disruption string
	// Expired is set if it was deleted for its age.
	Expired bool
	// Deleted is set if it has a deletion timestamp or is gone.
	Deleted bool
	// Unhealthy is set if Karpenter ended it at once, as it does where a node or its machine is
	// unhealthy.
	Unhealthy bool
	// Said are the Events about it, if it was deleted for a reason that it does not tell itself.
	Said []ClaimWords
	// End is who deleted it, or its NodePool, if somebody other than Karpenter did.
	End OwnerEnd
}

// ClaimWords are the reason and the message of an Event about a NodeClaim.
type ClaimWords struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// A ClaimEvent is a rule that reads why the cloud wants the machine of a NodeClaim back.
type ClaimEvent struct {
	// Reason is that of the Event.
	Reason string `json:"reason"`
	// Code that the Event leads to.
	Code Code `json:"code"`
	// Source is the project (and version) that writes it.
	Source string `json:"source"`
}

var claimEvents = load[ClaimEvent]("nodeclaims.yaml")

// ClaimEvents are what Karpenter's providers say of a NodeClaim that they delete; the first that
// matches counts.
func ClaimEvents() []ClaimEvent { return slices.Clone(claimEvents()) }

// consolidations are the disruptions after which the cluster has fewer nodes, or cheaper ones.
// After all others another node replaces this one (sigs.k8s.io/karpenter v1.14.1
// pkg/apis/v1/nodepool.go, DisruptionReason).
var consolidations = map[string]bool{"Empty": true, "Underutilized": true}

// claimSays returns why Karpenter removes the node. A NodeClaim that was deleted without a reason
// on it was deleted by somebody: a person, who is named if the admission was seen, or Karpenter
// itself, because the cloud interrupts the machine, which only an Event says, or because the node
// is unhealthy.
func (n inference) claimSays() (Reason, bool) {
	c := n.Claim
	owned := func(o metav1.OwnerReference) bool { return o.UID == c.UID }
	if c.UID == "" || n.Node == nil || !slices.ContainsFunc(n.Node.OwnerReferences, owned) {
		return Reason{}, false
	}
	said := func(code Code, why string) (Reason, bool) {
		return always(New(Node, code, "NodeClaim "+c.Name+" "+why, n.Remover.User))
	}
	switch {
	case consolidations[c.Disruption]:
		return said(NodeScaledDown, "is disrupted: "+c.Disruption)
	case c.Disruption != "":
		return said(NodeDrained, "is disrupted: "+c.Disruption)
	case c.Expired:
		return said(NodeDrained, "has expired")
	case c.Deleted && c.End.By != "":
		return always(New(Node, NodeDrained, c.End.String(), n.Remover.User))
	}
	if event, words := n.rules.saidOf(c); event.Code != "" {
		return always(New(Node, event.Code,
			"NodeClaim "+c.Name+", "+joined(words.Reason, words.Message), n.Remover.User))
	}
	switch {
	case c.Unhealthy:
		return said(NodeUnreachable, "was deleted as unhealthy")
	case c.Deleted:
		return said(NodeDrained, "was deleted")
	default:
		return Reason{}, false
	}
}

// saidOf returns the first rule that an Event about the NodeClaim matches, and the Event's words.
func (r ruleset) saidOf(c NodeClaim) (ClaimEvent, ClaimWords) {
	for _, event := range r.claimEvents() {
		for _, words := range c.Said {
			if words.Reason == event.Reason {
				return event, words
			}
		}
	}
	return ClaimEvent{}, ClaimWords{}
}
