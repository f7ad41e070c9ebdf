package reason

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A Remover is whoever asks for an object to go.
type Remover struct {
	// User is the name that ends up in [Reason.By].
	User string
	// Groups of the user, where they are known.
	Groups []string
	// Actor is what the name tells; an identity of the [Inferrer] overrides it. The zero value
	// means that nobody saw who it was.
	Actor Actor
	// Evicts is set where the request is an eviction: then the remover clears a node, and the
	// node's trouble counts.
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

// RemoverOf returns the remover behind an admission request's user.
func RemoverOf(user string, groups []string) Remover {
	return Remover{User: user, Groups: groups, Actor: ActorOf(user, groups)}
}

// Facts is what is known about one deletion. The objects are read, never changed. Whatever is left
// out is unknown, and what follows from it is not inferred.
type Facts struct {
	Now     time.Time
	Remover Remover
	// Pod is the pod that goes; nil where a Node goes.
	Pod *corev1.Pod
	// Node is the pod's node, or the Node that goes: as it is, or as it was when it was last seen.
	// Nil where nothing is known of it.
	Node *corev1.Node
	// NodeGone is set where the pod's node has no Node object any more.
	NodeGone bool
	// NodeReason is the reason that the pod's node left with, where it has left and that is known.
	NodeReason Reason
	// Preemptors are the pods that wait for a place and might be what the pod was preempted for.
	Preemptors []*corev1.Pod
	// DeviceTaints are those that drive the pod off a device of its own, where that is known.
	DeviceTaints []DeviceTaint
	// Owner is the state of the controller that the pod belongs to.
	Owner Owner
	// Claim is the state of the NodeClaim that the Node belongs to.
	Claim NodeClaim
	// NamespaceTerminating is set where the pod's namespace has a deletion timestamp.
	NamespaceTerminating bool
}

// Unknown is the reason of an object that leaves without one.
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
	// Identities are tried in order, the first that matches wins over what [ActorOf] says.
	Identities []Identity
	// NamePreemptors allows the name of a preemptor in another namespace to appear on the victim.
	// Otherwise its UID stands there: names across tenants were taken out of Kubernetes as a leak
	// (kubernetes/kubernetes#114882).
	NamePreemptors bool
}

// Infer returns why the object goes, as far as the facts tell, and whether they do. The first of
// these that knows wins: a reason that is on the object already; the words on an eviction, where
// the pod has not ended and its node has no trouble; what the pod says of itself; what its node
// says; who removes it.
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

// An inference is one question: the facts, and what they are weighed by.
type inference struct {
	Inferrer
	Facts
	rules ruleset
}

// A rule answers the question, or passes.
type rule func(inference) (Reason, bool)

// A ruleset is everything that is inferred from, in one place.
type ruleset struct {
	// pod and node are the chains for the two kinds of objects, the most trustworthy first.
	pod, node []rule
	// disruptions reads the reason of the pod's DisruptionTarget condition.
	disruptions map[string]disruption
	// statuses reads the status of a pod that its kubelet has failed, podSignals what other
	// schedulers leave.
	statuses   func() []Status
	podSignals func() []PodSignal
	// podRemovers and nodeRemovers know what follows from who removes the object.
	podRemovers, nodeRemovers map[Actor]rule
}

var rules = ruleset{
	pod: []rule{
		inference.ownReason, inference.requesterSays,
		inference.schedulerSays, inference.disruptionSays, inference.statusSays,
		inference.nodeSays, inference.removerSays, inference.finishedSays,
	},
	node: []rule{inference.ownReason, inference.nodeSaysOfItself,
		inference.nodeRemoverSays},
	disruptions:  disruptions,
	statuses:     statuses,
	podSignals:   podSignals,
	podRemovers:  podRemovers,
	nodeRemovers: nodeRemovers,
}

func always(r Reason) (Reason, bool) { return r, true }
