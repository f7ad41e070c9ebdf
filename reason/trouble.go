package reason

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// nodeSays applies the node's trouble if the remover clears nodes or removes orphans. A ReplicaSet
// that scales down on an unhealthy node does not do so because of the node, and a pod that has
// finished did not die of its node's end.
func (n inference) nodeSays() (Reason, bool) {
	if Finished(n.Pod) {
		return Reason{}, false
	}
	switch n.Remover.Actor {
	case NodeController, PodGC, Autoscaler, Remediator, MachineController, CloudProvider:
		return n.nodeTrouble()
	case Rebalancer:
		return Reason{}, false
	case Kubelet:
		// The last delete of any pod is the kubelet's. It means something only while the machine
		// shuts down.
		r, ok := n.nodeTrouble()
		return r, ok && (r.Code == NodeHalted || r.Code == NodeShutdown)
	default:
		if n.Remover.Evicts {
			return n.nodeTrouble()
		}
		return Reason{}, false
	}
}

// because returns the reason of the pod's node if the node has one, or else the other: a pod that
// is drained or evicted because its disk failed dies of the disk.
func (n inference) because(otherwise Reason) (Reason, bool) {
	if r, ok := n.nodeTrouble(); ok {
		return r, true
	}
	return otherwise, true
}

// takesAway are the codes of a node that nothing is wrong with.
var takesAway = map[Code]bool{NodeDrained: true, NodeScaledDown: true}

// nodeTrouble returns what is wrong with the pod's node, or with the pod's device on it, as a
// reason of the pod.
func (n inference) nodeTrouble() (Reason, bool) {
	r, ok := n.troubleOfTheNode()
	if !ok || takesAway[r.Code] {
		if ill, is := n.deviceTrouble(); is {
			return n.besideTheDrain(ill), true
		}
	}
	return r, ok
}

func (n inference) troubleOfTheNode() (Reason, bool) {
	if !n.NodeReason.IsZero() {
		return ForPodsOf(n.Pod.Spec.NodeName, n.NodeReason), true
	}
	if n.Node == nil {
		return Reason{}, false
	}
	if r, err := n.Keys.Node.Read(n.Node.Annotations); err == nil {
		if r.Code == "" {
			r.Code = codeOf(Node, r.Text)
		}
		if r.By == "" {
			r.By = clean(n.Remover.User, MaxByBytes)
		}
		return ForPodsOf(n.Node.Name, r), true
	}
	if r, ok := n.nodeSaysOfItself(); ok {
		return n.besideTheDrain(ForPodsOf(n.Node.Name, r)), true
	}
	return Reason{}, false
}

// outranksDrain are the codes of what is wrong with a node, as opposed to why it is removed.
var outranksDrain = map[Code]bool{HardwareFailure: true, KernelPanic: true, NodeUnreachable: true}

// besideTheDrain adds who drained or evicted, and their words, if something else is the reason.
func (n inference) besideTheDrain(r Reason) Reason {
	detail, ok := podSentences[r.Code].detail(r.Text)
	if !n.Remover.Evicts || !outranksDrain[r.Code] || !ok {
		return r
	}
	did := "evicted by "
	if n.Node != nil && n.Node.Spec.Unschedulable {
		did = "drained by "
	}
	who := n.evictor()
	if words := clean(n.Remover.Says, MaxTextBytes); words != "" {
		who += ": " + words
	}
	return New(Pod, r.Code, detail+"; "+did+who, r.By)
}

// nodeSaysOfItself returns what the evidence, the conditions and the taints of the Node say, and
// its NodeClaim. They do not count for a Node that a person deletes: the person knows why.
func (n inference) nodeSaysOfItself() (Reason, bool) {
	if n.Node == nil || n.Pod == nil && n.Remover.Actor == Person {
		return Reason{}, false
	}
	if e, ok := weightiest(n.Node, func(e Evidence) bool { return e.Fresh(n.Node) }); ok {
		return e.reason(n.Node.Name)
	}
	wrong, takenAway := byRemoval(n.Signals)
	if r, ok := n.signalled(wrong); ok {
		return r, true
	}
	if r, ok := n.claimSays(); ok {
		return r, true
	}
	return n.signalled(takenAway)
}

// byRemoval splits ranked signals: what is wrong with a node, and how it looks when it is removed.
func byRemoval(ranked []Signal) (wrong, takenAway []Signal) {
	n := slices.IndexFunc(ranked, func(s Signal) bool {
		return s.Rank == Removal ||
			s.Rank == Symptom
	})
	if n < 0 {
		return ranked, nil
	}
	return ranked[:n], ranked[n:]
}

// signalled returns what the first of the signals that is on the Node says.
func (n inference) signalled(signals []Signal) (Reason, bool) {
	for _, s := range signals {
		if n.cloudKnowsMore(s.Code) {
			continue
		}
		if r, ok := s.match(n.Node, n.Remover.User); ok {
			return n.withTheKernelsWords(r), true
		}
	}
	return Reason{}, false
}

// cloudKnowsMore reports whether a signal is only how the end of the instance looks from outside:
// the cloud's node lifecycle controller deletes a Node because the instance is gone.
func (n inference) cloudKnowsMore(c Code) bool {
	return n.Pod == nil && n.Remover.Actor == NodeController &&
		(c == NodeUnreachable || c == NodeShutdown) && !n.removedAsUnready()
}

// removedAsUnready reports whether the cluster autoscaler had the instance ended when the node had
// long been unready. The value of its taint is the time of that decision, in seconds
// (cluster-autoscaler/utils/taints).
func (n inference) removedAsUnready() bool {
	ready := readyCondition(n.Node)
	if ready == nil || ready.Status == corev1.ConditionTrue || ready.LastTransitionTime.IsZero() {
		return false
	}
	return slices.ContainsFunc(n.Node.Spec.Taints, func(t corev1.Taint) bool {
		decided, err := strconv.ParseInt(t.Value, 10, 64)
		return t.Key == toBeDeletedTaint && err == nil &&
			ready.LastTransitionTime.Unix() < decided
	})
}

const toBeDeletedTaint = "ToBeDeletedByClusterAutoscaler"

// withTheKernelsWords adds to a node that fell silent what its kernel had said a moment before. By
// itself a soft lockup or a hanging task ends nothing, but if the node then ends, it is all that is
// known.
func (n inference) withTheKernelsWords(r Reason) Reason {
	ready := readyCondition(n.Node)
	if r.Code != NodeUnreachable || ready == nil || ready.Status == corev1.ConditionTrue {
		return r
	}
	all, _ := EvidenceOn(n.Node)
	for _, e := range slices.Backward(all) {
		if e.What == EvidenceKernel && !e.Survived(n.Node) &&
			!ready.LastHeartbeatTime.After(e.Until) {
			return New(Node, r.Code, joined("Ready="+string(ready.Status), ready.Reason)+"; "+
				e.Detail, r.By)
		}
	}
	return r
}
