package reason

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A NodeClaim is Karpenter's order for the machine of a Node. Karpenter decides there: on the Node
// it leaves one taint, whatever it does the node for.
type NodeClaim struct {
	Name string
	// UID. A NodeClaim that is not in the Node's owner references tells nothing; neither does the
	// zero value.
	UID types.UID
	// Disruption is the reason of its condition DisruptionReason, where that is True.
	Disruption string
	// Expired is set where it was deleted for its age.
	Expired bool
	// Deleted is set where it has a deletion timestamp or is gone.
	Deleted bool
}

// consolidations are the disruptions after which the cluster has fewer nodes, or cheaper ones.
// After all others another node takes the place of this one (sigs.k8s.io/karpenter v1.14.1
// pkg/apis/v1/nodepool.go, DisruptionReason).
var consolidations = map[string]bool{"Empty": true, "Underutilized": true}

// claimSays tells what Karpenter takes the node away for. A NodeClaim that was deleted for nothing
// that stands on it was deleted by somebody: a person, or Karpenter itself because the cloud
// interrupts the machine, of which only an Event tells.
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
	case c.Deleted:
		return said(NodeDrained, "was deleted")
	default:
		return Reason{}, false
	}
}
