package reason

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A Remover is whoever asks for an object to be removed.
type Remover struct {
	// User is the name for [Reason.By].
	User string
	// Groups of the user, if known.
	Groups []string
	// Actor is what the name stands for; an identity of the [Inferrer] overrides it. The zero value
	// means that nobody saw who it was.
	Actor Actor
	// Evicts is set if the request is an eviction: then the remover clears a node, and the node's
	// trouble counts.
	Evicts bool
	// Says is what the requester of an eviction wrote on it, in the annotation [EvictionReasonKey].
	Says string
	// For is on whose behalf they evict, from the annotation [EvictionRequesterKey].
	For string
}

// The annotations of an Eviction in which its requester may say why: the descheduler's convention
// (sigs.k8s.io/descheduler pkg/descheduler/evictions/evictions.go).
const (
	EvictionReasonKey    = "reason"
	EvictionRequesterKey = "requested-by"
)

// RemoverOf returns the remover behind the user of an admission request.
func RemoverOf(user string, groups []string) Remover {
	return Remover{User: user, Groups: groups, Actor: ActorOf(user, groups)}
}

// Facts is what is known about one deletion. The objects are read, never changed. Whatever is left
// out is unknown, and nothing is inferred from it.
type Facts struct {
	Now     time.Time
	Remover Remover
	// Pod is the pod that goes; nil if a Node goes.
	Pod *corev1.Pod
	// Node is the pod's node, or the Node that goes, as it is, or as it was when it was last seen;
	// nil if nothing is known of it.
	Node *corev1.Node
	// NodeGone is set if the pod's node no longer has a Node object.
	NodeGone bool
	// NodeReason is the reason that the pod's node left with, if it has left and that is known.
	NodeReason Reason
	// Preemptors are the pods that wait for a place and that the pod may have been preempted for.
	Preemptors []*corev1.Pod
	// DeviceTaints are those that drive the pod off a device of its own, if known.
	DeviceTaints []DeviceTaint
	// Owner is the state of the controller that the pod belongs to.
	Owner Owner
	// Objects are those that decide about the pod, if an [OwnerSignal] reads them: owners of the
	// pod, and what queues keep of these.
	Objects []*Object
	// Operated names, by kind and name, the owner of the pod whose controller the remover is, if
	// the owner's kind is not one of Kubernetes' own; empty if that is not known.
	Operated string
	// OwnerEnd is who deleted what the pod belongs to, or had it have fewer pods, if known.
	OwnerEnd OwnerEnd
	// Claim is the state of the NodeClaim that the Node belongs to.
	Claim NodeClaim
	// NamespaceTerminating is set if the pod's namespace has a deletion timestamp.
	NamespaceTerminating bool
}

// Unknown returns the reason of an object that leaves without one.
func (f Facts) Unknown() Reason {
	if f.Pod == nil {
		return New(Node, Unexplained, f.Remover.User, f.Remover.User)
	}
	return New(Pod, Unexplained, f.Remover.User, f.Remover.User)
}

// An Inferrer turns facts into reasons. The zero value infers with no signals and identities; use
// the configuration's.
type Inferrer struct {
	Keys KeySet
	// Signals are tried in order, the first that matches wins.
	Signals []Signal
	// Identities are tried in order; the first that matches overrides [ActorOf].
	Identities []Identity
	// OwnerSignals are tried in order, the first that matches wins.
	OwnerSignals []OwnerSignal
	// Operators are controllers that are known by name.
	Operators []Operator
	// NamePreemptors allows the name of a preemptor in another namespace to appear on the victim.
	// Otherwise its UID is used: names across tenants were removed from Kubernetes as a leak
	// (kubernetes/kubernetes#114882).
	NamePreemptors bool
}

// Infer returns why the object goes, and whether the facts say so. The first of these that knows
// wins: a reason that is on the object already; the words on an eviction, if the pod has not ended
// and its node has no trouble; the pod itself; its node; who removes it.
func (i Inferrer) Infer(f Facts) (Reason, bool) { return i.infer(rules, f) }

func (i Inferrer) infer(by ruleset, f Facts) (Reason, bool) {
	n := inference{Inferrer: i, Facts: f, rules: by}
	n.Remover.Actor = i.actor(f.Remover)
	chain := by.pod
	if f.Pod == nil {
		chain = by.node
	}
	for _, infer := range chain {
		if r, ok := infer(n); ok {
			return r, true
		}
	}
	return Reason{}, false
}

// An inference is one question: the facts, and the rules that weigh them.
type inference struct {
	Inferrer
	Facts
	rules ruleset
}

// A rule answers the question, or passes.
type rule func(inference) (Reason, bool)

// A ruleset holds all rules of inference.
type ruleset struct {
	// pod and node are the chains for the two kinds of objects, the most trustworthy rule first.
	pod, node []rule
	// disruptions maps the reason of the pod's DisruptionTarget condition to its meaning.
	disruptions map[string]disruption
	// statuses read the status of a pod that its kubelet has failed, podSignals what other
	// schedulers leave, claimEvents what is said of a NodeClaim.
	statuses    func() []Status
	podSignals  func() []PodSignal
	claimEvents func() []ClaimEvent
	// podRemovers and nodeRemovers say what follows from who removes the object.
	podRemovers, nodeRemovers map[Actor]rule
}

var rules = ruleset{
	pod: []rule{
		inference.ownReason, inference.requesterSays,
		inference.schedulerSays, inference.disruptionSays, inference.statusSays,
		inference.nodeSays, inference.removerSays, inference.byOperator, inference.ownerWent,
		inference.finishedSays,
	},
	node: []rule{inference.ownReason, inference.nodeSaysOfItself,
		inference.nodeRemoverSays},
	disruptions:  disruptions,
	statuses:     statuses,
	podSignals:   podSignals,
	claimEvents:  claimEvents,
	podRemovers:  podRemovers,
	nodeRemovers: nodeRemovers,
}

func always(r Reason) (Reason, bool) { return r, true }
