package reason

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// podRemovers explain why a pod goes only by who deletes it.
var podRemovers = map[Actor]rule{
	Scheduler: func(n inference) (Reason, bool) {
		return always(n.preempted("", n.Remover.User))
	},
	NodeController: func(n inference) (Reason,
		bool) {
		return always(n.evictedByTaint(n.Remover.User))
	},
	DeviceTaintController: func(n inference) (Reason, bool) {
		return always(n.offItsDevice(n.Remover.User))
	},
	Autoscaler: func(n inference) (Reason, bool) {
		if Finished(n.Pod) {
			return n.alreadyEnded("its node is scaled down")
		}
		return always(New(Pod, NodeScaledDown, n.Pod.Spec.NodeName, n.Remover.User))
	},
	Remediator: func(n inference) (Reason, bool) {
		if Finished(n.Pod) {
			return Reason{}, false
		}
		return always(New(Pod, NodeUnreachable,
			"node "+n.Pod.Spec.NodeName+" is fenced", n.Remover.User))
	},
	MachineController:     inference.forcedOff,
	CloudProvider:         inference.forcedOff,
	PodGC:                 inference.collected,
	OwnerGC:               inference.cascaded,
	NamespaceController:   inference.namespaceDeleted,
	ReplicaSetController:  inference.byReplicaSet,
	StatefulSetController: inference.byStatefulSet,
	DaemonSetController:   inference.byDaemonSet,
	JobController:         inference.byJob,
	TTLController:         func(n inference) (Reason, bool) { return n.of(JobFinished) },
	ControllerManager:     inference.byControllerManager,
	Kubelet:               inference.mirrorRemoved,
}

// removerSays infers from the identity of the remover. For anybody who evicts, the eviction itself
// is certain.
func (n inference) removerSays() (Reason, bool) {
	if n.Remover.Evicts {
		if Finished(n.Pod) {
			return n.alreadyEnded(joined("evicted by "+n.Remover.User,
				string(Clean(n.Remover.Says))))
		}
		return always(n.evictedBy(n.Remover.User, "by "+n.Remover.User))
	}
	if why, ok := n.rules.podRemovers[n.Remover.Actor]; ok {
		return why(n)
	}
	return Reason{}, false
}

// nodeRemovers explain why a Node goes only by who deletes it.
var nodeRemovers = map[Actor]rule{
	// The cloud's node lifecycle controller deletes a Node that is not Ready because its instance
	// does not exist (k8s.io/cloud-provider v0.37 controllers/nodelifecycle).
	NodeController: func(n inference) (Reason, bool) {
		if ready := readyCondition(n.Node); ready != nil && ready.Status == corev1.ConditionTrue {
			return Reason{}, false
		}
		return always(New(Node, CloudInstanceGone, n.Node.Name, n.Remover.User))
	},
	Autoscaler: func(n inference) (Reason, bool) {
		return always(New(Node, NodeScaledDown, "by "+n.Remover.User, n.Remover.User))
	},
	Remediator: func(n inference) (Reason, bool) {
		return always(New(Node, NodeUnreachable, "fenced by "+n.Remover.User, n.Remover.User))
	},
	MachineController: inference.drainedAway,
	CloudProvider:     inference.drainedAway,
}

// forcedOff explains a pod that a drain could not evict and that was then deleted: the node is
// cordoned.
func (n inference) forcedOff() (Reason, bool) {
	if n.Node == nil || !n.Node.Spec.Unschedulable || Finished(n.Pod) {
		return Reason{}, false
	}
	return always(n.evictedBy(n.Remover.User, "by "+n.Remover.User))
}

// drainedAway explains a Node that was cordoned for its removal.
func (n inference) drainedAway() (Reason, bool) {
	if !n.Node.Spec.Unschedulable {
		return Reason{}, false
	}
	return always(New(Node, NodeDrained, "by "+n.Remover.User, n.Remover.User))
}

func (n inference) nodeRemoverSays() (Reason, bool) {
	if why, ok := n.rules.nodeRemovers[n.Remover.Actor]; ok && n.Node != nil {
		return why(n)
	}
	return Reason{}, false
}

// evictedByTaint names the NoExecute taints of the node that drive the pod off: the taint manager
// does not say which of them it was.
func (n inference) evictedByTaint(by string) Reason {
	detail := "a NoExecute taint of node " + n.Pod.Spec.NodeName
	if taints := n.drivenOff(); len(taints) > 0 {
		detail = "node " + n.Node.Name + " is tainted " + strings.Join(taints, ", ")
	}
	return New(Pod, Evicted, detail, by)
}

// drivenOff returns the keys of the NoExecute taints that the pod does not tolerate, or only for a
// time.
func (n inference) drivenOff() []string {
	if n.Node == nil {
		return nil
	}
	var keys []string
	for _, t := range n.Node.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoExecute && !tolerates(n.Pod, t) {
			keys = append(keys, t.Key)
		}
	}
	return keys
}

// tolerates reports whether the pod may go to a node with the taint, and stay there for ever.
func tolerates(pod *corev1.Pod, taint corev1.Taint) bool {
	for _, t := range pod.Spec.Tolerations {
		exists := t.Operator == corev1.TolerationOpExists
		if t.TolerationSeconds == nil && (t.Effect == "" || t.Effect == taint.Effect) &&
			(t.Key == taint.Key || t.Key == "" && exists) && (exists || t.Value == taint.Value) {
			return true
		}
	}
	return false
}

// collected distinguishes the cases of a pod garbage collector (K8s v1.37 pkg/controller/podgc).
// The built-in one fails a pod before it deletes it, and marks an orphan with a condition unless it
// had finished. So a pod in a final phase and without a condition ended by itself, or is on a node
// that was declared out of service. A pod that was never bound is deleted for that only while it
// terminates; one that has finished goes by number, bound or not.
func (n inference) collected() (Reason, bool) {
	switch {
	case n.Pod.Spec.NodeName == "" && n.Pod.DeletionTimestamp == nil && Finished(n.Pod):
		return always(New(Pod, TerminatedPodLimit, "", n.Remover.User))
	case n.Pod.Spec.NodeName == "":
		return always(New(Pod, NeverScheduled, "", n.Remover.User))
	case n.NodeGone && Finished(n.Pod):
		return n.alreadyEnded("node " + n.Pod.Spec.NodeName + " is gone")
	case n.NodeGone:
		return always(n.nodeDeleted(n.Remover.User))
	case n.Pod.DeletionTimestamp != nil && n.Node != nil &&
		tainted(n.Node, corev1.TaintNodeOutOfService):
		return n.because(New(Pod, OutOfService, n.Node.Name, n.Remover.User))
	case Finished(n.Pod):
		return always(New(Pod, TerminatedPodLimit, "", n.Remover.User))
	default:
		return Reason{}, false
	}
}

// mirrorRemoved explains the only pod that a kubelet deletes of its own accord: the mirror of a
// static pod whose file was removed.
func (n inference) mirrorRemoved() (Reason, bool) {
	if _, mirror := n.Pod.Annotations[corev1.MirrorPodAnnotationKey]; !mirror ||
		n.Pod.DeletionTimestamp != nil {
		return Reason{}, false
	}
	return always(New(Pod, OwnerDeleted, "static pod of node "+n.Pod.Spec.NodeName, n.Remover.User))
}

func (n inference) nodeDeleted(by string) Reason {
	return New(Pod, NodeDeleted, n.Pod.Spec.NodeName, by)
}

// alreadyEnded explains the removal of a pod that ended by itself: what happened after that killed
// nobody.
func (n inference) alreadyEnded(what string) (Reason, bool) {
	ended := string(n.Pod.Status.Phase)
	if why := joined(n.Pod.Status.Reason, n.Pod.Status.Message); why != "" {
		ended += " (" + why + ")"
	}
	if ill := n.illDevices(); len(ill) > 0 && n.Pod.Status.Phase == corev1.PodFailed {
		ended += ", " + some(ill)
	}
	return always(New(Pod, AlreadyEnded, ended+", "+what, n.Remover.User))
}

// finishedSays explains a pod that had ended before anybody asked for its removal: whoever deletes
// it only tidies up. If the pod was told to stop first, it may have ended because of that.
func (n inference) finishedSays() (Reason, bool) {
	if !Finished(n.Pod) || n.Pod.DeletionTimestamp != nil {
		return Reason{}, false
	}
	return n.alreadyEnded("removed by " + n.Remover.User)
}

func tainted(node *corev1.Node, key string) bool {
	for _, t := range node.Spec.Taints {
		if t.Key == key {
			return true
		}
	}
	return false
}
