package reason

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// disruptionWindow is how long a condition of a pod that lives can speak for the deletion at hand: the disruption controller
// takes a DisruptionTarget back after that time (K8s v1.37 pkg/controller/disruption, stuckTerminatingPodTimeout).
const disruptionWindow = 2 * time.Minute

// unseen stands for a remover that nobody saw.
const unseen = "an unknown remover"

// A disruption is one reason of the DisruptionTarget condition (KEP-3329).
type disruption struct {
	// writers write the condition and then delete the pod: their own delete it explains while it is fresh.
	writers []Actor
	// component is who did it, where the delete at hand is somebody else's, the kubelet's last one for example.
	component string
	says      func(n inference, c *corev1.PodCondition, by string) (Reason, bool)
}

var disruptions = map[string]disruption{
	corev1.PodReasonPreemptionByScheduler: {
		// A second scheduler runs under a service account of its own.
		writers:   []Actor{Scheduler, ServiceAccount, ControlPlane},
		component: "system:kube-scheduler",
		says: func(n inference, c *corev1.PodCondition, by string) (Reason, bool) {
			return always(New(Pod, Preempted, n.preemptor(c.Message), by))
		},
	},
	"DeletionByTaintManager": {
		writers:   []Actor{NodeController, ControllerManager},
		component: "taint-eviction-controller",
		says: func(n inference, _ *corev1.PodCondition, by string) (Reason, bool) {
			return n.because(n.evictedByTaint(by))
		},
	},
	"DeletionByDeviceTaintManager": {
		writers:   []Actor{DeviceTaintController, ControllerManager},
		component: "device-taint-eviction-controller",
		says: func(_ inference, _ *corev1.PodCondition, by string) (Reason, bool) {
			return always(New(Pod, HardwareFailure, "device taint", by))
		},
	},
	"DeletionByPodGC": {
		writers:   []Actor{PodGC, ControllerManager},
		component: "pod-garbage-collector",
		says: func(n inference, _ *corev1.PodCondition, by string) (Reason, bool) {
			return n.because(n.nodeDeleted(by))
		},
	},
	// The API server writes it while it evicts; whoever deletes the pod after that is not the one who evicted it.
	"EvictionByEvictionAPI": {
		component: unseen,
		says: func(n inference, _ *corev1.PodCondition, by string) (Reason, bool) {
			if n.Remover.Evicts {
				by = n.Remover.User
			}
			return n.because(n.evictedBy(by, "by "+by))
		},
	},
}

// foreignDisruption is a DisruptionTarget condition of a component that Kubernetes does not ship.
var foreignDisruption = disruption{
	writers:   []Actor{ServiceAccount, ControlPlane, Scheduler, Autoscaler, Rebalancer},
	component: unseen,
	says: func(_ inference, c *corev1.PodCondition, by string) (Reason, bool) {
		return always(New(Pod, Evicted, joined(c.Reason, c.Message), by))
	},
}

// disruptionSays reads the DisruptionTarget condition. What the kubelet ended is told by the pod's status.
func (n inference) disruptionSays() (Reason, bool) {
	c := podCondition(n.Pod, corev1.DisruptionTarget)
	if c == nil || c.Status != corev1.ConditionTrue || c.Reason == corev1.PodReasonTerminationByKubelet {
		return Reason{}, false
	}
	d, ok := n.rules.disruptions[c.Reason]
	if !ok {
		d = foreignDisruption
	}
	writes := slices.Contains(d.writers, n.Remover.Actor) && !n.Remover.Evicts
	if !n.settled() && (!writes || !n.fresh(c)) {
		return Reason{}, false
	}
	by := d.component
	if writes || n.Remover.Actor == 0 {
		by = n.Remover.User
	}
	return d.says(n, c, by)
}

// settled tells whether the pod's end has begun, so that a condition about its end is no leftover of one that was called off.
func (n inference) settled() bool { return n.Pod.DeletionTimestamp != nil || finished(n.Pod) }

func (n inference) fresh(c *corev1.PodCondition) bool {
	return n.Now.Sub(c.LastTransitionTime.Time) <= disruptionWindow
}

// terminationTarget is the condition that Kueue sets on a plain pod that it is about to delete
// (sigs.k8s.io/kueue pkg/controller/jobs/pod/pod_controller.go).
const terminationTarget corev1.PodConditionType = "TerminationTarget"

// queueSays reads Kueue's condition: its reason starts with WorkloadEvictedDueTo where the quota was taken back.
func (n inference) queueSays() (Reason, bool) {
	c := podCondition(n.Pod, terminationTarget)
	if c == nil || c.Status != corev1.ConditionTrue {
		return Reason{}, false
	}
	kueue := n.Remover.Actor == ServiceAccount && n.fresh(c)
	if !kueue && !n.settled() {
		return Reason{}, false
	}
	by := unseen
	if kueue || n.Remover.Actor == 0 {
		by = n.Remover.User
	}
	if strings.HasSuffix(c.Reason, "Preempted") {
		return always(New(Pod, Preempted, c.Message, by))
	}
	return always(New(Pod, Evicted, joined(c.Reason, c.Message), by))
}

// joined puts a word and its explanation together.
func joined(what, more string) string {
	if more == "" {
		return what
	}
	return what + ": " + more
}
