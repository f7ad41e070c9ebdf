package reason

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A Remover is whoever asks for an object to go.
type Remover struct {
	// User is the name that ends up in [Reason.By].
	User string
	// Actor is what the name tells.
	Actor Actor
	// Evicts is set where the request is an eviction: then the remover clears a node, and the node's trouble counts.
	Evicts bool
}

// RemoverOf returns the remover behind an admission request's user.
func RemoverOf(user string, groups []string) Remover {
	return Remover{User: user, Actor: ActorOf(user, groups)}
}

// Facts is what is known about one deletion. The objects are read, never changed.
type Facts struct {
	Now     time.Time
	Remover Remover
	// Pod is the pod that goes; nil where a Node goes.
	Pod *corev1.Pod
	// Node is the pod's node, or the Node that goes: as it is, or as it was when it was last seen. Nil where nothing is
	// known of it.
	Node *corev1.Node
	// NodeGone is set where the pod's node has no Node object any more.
	NodeGone bool
	// NodeReason is the reason that the pod's node left with, where it has left and that is known.
	NodeReason Reason
	// Preemptors are the pods that wait for a place and might be what the pod was preempted for.
	Preemptors []*corev1.Pod
}

// An Inferrer turns facts into reasons. The zero value infers with no signals; use the configuration's.
type Inferrer struct {
	Keys    KeySet
	Signals []Signal
	// NamePreemptors allows the name of a preemptor in another namespace to appear on the victim. Otherwise its UID stands
	// there: names across tenants were taken out of Kubernetes as a leak (kubernetes/kubernetes#114882).
	NamePreemptors bool
}

// Infer returns why the object goes, as far as the facts tell, and whether they do. The first of these that knows wins:
// a reason that is on the object already; what the pod says of itself; what its node says; who removes it.
func (i Inferrer) Infer(f Facts) (Reason, bool) {
	chain := []func(Facts) (Reason, bool){i.ownReason, i.podSays, i.nodeSays, i.actorSays}
	if f.Pod == nil {
		chain = []func(Facts) (Reason, bool){i.ownReason, i.nodeSaysOfItself, i.actorSaysOfNode}
	}
	for _, says := range chain {
		if r, ok := says(f); ok {
			return r, true
		}
	}
	return Reason{}, false
}

// Unknown is the reason of an object that leaves without one.
func (f Facts) Unknown() Reason {
	if f.Pod == nil {
		return New(Node, Unexplained, f.Remover.User, f.Remover.User)
	}
	return New(Pod, Unexplained, f.Remover.User, f.Remover.User)
}

// ownReason keeps what somebody wrote, and completes a missing code and actor.
func (i Inferrer) ownReason(f Facts) (Reason, bool) {
	keys, annotations := i.Keys.Node, map[string]string(nil)
	switch {
	case f.Pod != nil:
		keys, annotations = i.Keys.Pod, f.Pod.Annotations
	case f.Node != nil:
		annotations = f.Node.Annotations
	}
	r, err := keys.Read(annotations)
	if err != nil {
		return Reason{}, false
	}
	if r.Code == "" {
		r.Code = UserRequest
	}
	if r.By == "" {
		r.By = clean(f.Remover.User, MaxByBytes)
	}
	return r, true
}

// disruptionWindow is how long a DisruptionTarget condition can speak for the deletion at hand: the disruption controller
// takes it back after that time (pkg/controller/disruption, stuckTerminatingPodTimeout).
const disruptionWindow = 2 * time.Minute

// podSays reads the DisruptionTarget condition and the status that the kubelet leaves (KEP-3329).
func (i Inferrer) podSays(f Facts) (Reason, bool) {
	dt := disruption(f)
	if dt == nil {
		return i.kubeletFailed(f)
	}
	switch dt.Reason {
	case corev1.PodReasonPreemptionByScheduler:
		return New(Pod, Preempted, i.preemptor(f), f.Remover.User), true
	case corev1.PodReasonTerminationByKubelet:
		return i.kubeletFailed(f)
	case "DeletionByDeviceTaintManager":
		return New(Pod, HardwareFailure, "device taint", f.Remover.User), true
	case "DeletionByTaintManager":
		return i.because(f, func() Reason { return evictedByTaint(f) }), true
	case "EvictionByEvictionAPI":
		return i.because(f, func() Reason { return evicted(f) }), true
	case "DeletionByPodGC":
		return i.because(f, func() Reason { return nodeDeleted(f) }), true
	default:
		return Reason{}, false
	}
}

// disruption returns the DisruptionTarget condition if it can speak for this deletion. On a pod that lives on it may be a
// leftover of a disruption that did not happen, so there it counts only while fresh, and never for a person's delete.
func disruption(f Facts) *corev1.PodCondition {
	for n := range f.Pod.Status.Conditions {
		c := &f.Pod.Status.Conditions[n]
		if c.Type != corev1.DisruptionTarget || c.Status != corev1.ConditionTrue {
			continue
		}
		settled := f.Pod.DeletionTimestamp != nil || finished(f.Pod)
		fresh := f.Now.Sub(c.LastTransitionTime.Time) <= disruptionWindow
		if settled || fresh && f.Remover.Actor != Person {
			return c
		}
	}
	return nil
}

// because returns the reason of the pod's node where the node has one, else what otherwise says: a pod that is drained or
// evicted because its disk failed dies of the disk.
func (i Inferrer) because(f Facts, otherwise func() Reason) Reason {
	if r, ok := i.nodeTrouble(f); ok {
		return r
	}
	return otherwise()
}

// kubeletFailed reads the status of a pod that the kubelet itself has ended
// (K8s v1.37 pkg/kubelet/eviction/helpers.go, preemption/preemption.go, nodeshutdown/nodeshutdown_manager.go).
func (i Inferrer) kubeletFailed(f Facts) (Reason, bool) {
	by := "system:node:" + f.Pod.Spec.NodeName
	if f.Pod.Status.Phase != corev1.PodFailed {
		return Reason{}, false
	}
	switch f.Pod.Status.Reason {
	case "Evicted":
		return New(Pod, NodePressure, f.Pod.Status.Message, by), true
	case "Preempting":
		return New(Pod, Preempted, "a critical pod of node "+f.Pod.Spec.NodeName, by), true
	case "Terminated", "NodeShutdown":
		return i.because(f, func() Reason { return New(Pod, NodeShutdown, f.Pod.Spec.NodeName, by) }), true
	default:
		return Reason{}, false
	}
}

// nodeSays applies the node's trouble where the remover clears nodes or orphans. A ReplicaSet that scales down on an
// unhealthy node does not do it because of the node.
func (i Inferrer) nodeSays(f Facts) (Reason, bool) {
	switch f.Remover.Actor {
	case NodeController, PodGC, Kubelet:
		return i.nodeTrouble(f)
	default:
		if f.Remover.Evicts {
			return i.nodeTrouble(f)
		}
		return Reason{}, false
	}
}

// nodeTrouble returns what is wrong with the pod's node, as a reason of the pod.
func (i Inferrer) nodeTrouble(f Facts) (Reason, bool) {
	if !f.NodeReason.IsZero() {
		return ForPodsOf(f.Pod.Spec.NodeName, f.NodeReason), true
	}
	if f.Node == nil {
		return Reason{}, false
	}
	if r, err := i.Keys.Node.Read(f.Node.Annotations); err == nil {
		return ForPodsOf(f.Node.Name, r), true
	}
	if r, ok := i.nodeSaysOfItself(f); ok {
		return ForPodsOf(f.Node.Name, r), true
	}
	return Reason{}, false
}

// nodeSaysOfItself returns what the evidence, the conditions and the taints of the Node tell.
func (i Inferrer) nodeSaysOfItself(f Facts) (Reason, bool) {
	if f.Node == nil || f.Pod == nil && !removesNodes(f.Remover.Actor) {
		return Reason{}, false
	}
	// Evidence that cannot be read is reported where it is written and where the node is watched; here the conditions
	// still speak.
	all, _ := EvidenceOn(f.Node)
	for _, e := range all {
		if r, ok := e.reason(f.Node); ok && e.Fresh(f.Node) {
			return r, true
		}
	}
	for _, s := range i.Signals {
		if f.Pod == nil && f.Remover.Actor == NodeController && s.Code == NodeUnreachable {
			continue // the cloud knows more: it says that the instance is gone
		}
		if r, ok := s.match(f.Node, f.Remover.User); ok {
			return r, true
		}
	}
	return Reason{}, false
}

// removesNodes tells whether an actor's delete of a Node follows from the node's state. A person says so himself.
func removesNodes(a Actor) bool { return a != Person }

// actorSays infers from the identity of the remover alone.
func (i Inferrer) actorSays(f Facts) (Reason, bool) {
	by := f.Remover.User
	switch f.Remover.Actor {
	case Scheduler:
		return New(Pod, Preempted, i.preemptor(f), by), true
	case NodeController:
		return evictedByTaint(f), true
	case PodGC:
		return collected(f), true
	case OwnerGC:
		return New(Pod, OwnerDeleted, owner(f.Pod), by), true
	case NamespaceController:
		return New(Pod, NamespaceDeleted, f.Pod.Namespace, by), true
	case ReplicaSetController, StatefulSetController:
		return New(Pod, ScaledDown, owner(f.Pod), by), true
	case DaemonSetController:
		return New(Pod, RolloutReplaced, owner(f.Pod), by), true
	case JobController, TTLController:
		return New(Pod, JobFinished, owner(f.Pod), by), true
	default:
		if f.Remover.Evicts {
			return evicted(f), true
		}
		return Reason{}, false
	}
}

// actorSaysOfNode knows one remover of Nodes: the cloud's node lifecycle controller, which deletes a Node that is not Ready
// because its instance does not exist (k8s.io/cloud-provider v0.37 controllers/nodelifecycle).
func (i Inferrer) actorSaysOfNode(f Facts) (Reason, bool) {
	if f.Node == nil || f.Remover.Actor != NodeController {
		return Reason{}, false
	}
	if ready := nodeCondition(f.Node, corev1.NodeReady); ready != nil && ready.Status == corev1.ConditionTrue {
		return Reason{}, false
	}
	return New(Node, CloudInstanceGone, f.Node.Name, f.Remover.User), true
}

func evicted(f Facts) Reason {
	if f.Node != nil && f.Node.Spec.Unschedulable {
		return New(Pod, NodeDrained, "node "+f.Node.Name+" by "+f.Remover.User, f.Remover.User)
	}
	return New(Pod, Evicted, "by "+f.Remover.User, f.Remover.User)
}

// evictedByTaint names the NoExecute taints of the node: the taint manager does not say which of them it was.
func evictedByTaint(f Facts) Reason {
	detail := "a NoExecute taint of node " + f.Pod.Spec.NodeName
	if f.Node != nil {
		var keys []string
		for _, t := range f.Node.Spec.Taints {
			if t.Effect == corev1.TaintEffectNoExecute {
				keys = append(keys, t.Key)
			}
		}
		if len(keys) > 0 {
			detail = "node " + f.Node.Name + " is tainted " + strings.Join(keys, ", ")
		}
	}
	return New(Pod, Evicted, detail, f.Remover.User)
}

// collected tells the four cases of a pod garbage collector apart (pkg/controller/podgc).
func collected(f Facts) Reason {
	switch {
	case f.Pod.Spec.NodeName == "":
		return New(Pod, NeverScheduled, "", f.Remover.User)
	case f.NodeGone:
		return nodeDeleted(f)
	case finished(f.Pod):
		return New(Pod, TerminatedPodLimit, "", f.Remover.User)
	default:
		return nodeDeleted(f)
	}
}

func nodeDeleted(f Facts) Reason {
	return New(Pod, NodeDeleted, f.Pod.Spec.NodeName, f.Remover.User)
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}

// owner names the controller of a pod as "Kind name".
func owner(pod *corev1.Pod) string {
	for _, o := range pod.OwnerReferences {
		if o.Controller != nil && *o.Controller {
			return o.Kind + " " + o.Name
		}
	}
	return "no controller"
}
