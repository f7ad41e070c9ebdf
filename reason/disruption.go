package reason

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// disruptionWindow is how long a condition of a living pod can explain the current deletion: the
// disruption controller takes a DisruptionTarget back after that time (K8s v1.37
// pkg/controller/disruption, stuckTerminatingPodTimeout).
const disruptionWindow = 2 * time.Minute

// A disruption is one reason of the DisruptionTarget condition (KEP-3329).
type disruption struct {
	// writers write the condition and then delete the pod: while it is fresh, it explains their own
	// delete.
	writers []Actor
	// written, if set, recognises a writer by the condition itself.
	written func(c *corev1.PodCondition, user string) bool
	// component is the actor if the current delete is somebody else's, such as the kubelet's last
	// one.
	component string
	rule      func(n inference, c *corev1.PodCondition, by string) (Reason, bool)
}

var disruptions = map[string]disruption{
	corev1.PodReasonPreemptionByScheduler: {
		writers:   []Actor{Scheduler},
		written:   bySchedulerOf,
		component: "system:kube-scheduler",
		rule: func(n inference, c *corev1.PodCondition, by string) (Reason, bool) {
			return always(n.preempted(c.Message, by))
		},
	},
	"DeletionByTaintManager": {
		writers:   []Actor{NodeController, ControllerManager},
		component: "taint-eviction-controller",
		rule: func(n inference, _ *corev1.PodCondition, by string) (Reason, bool) {
			return n.because(n.evictedByTaint(by))
		},
	},
	"DeletionByDeviceTaintManager": {
		writers:   []Actor{DeviceTaintController, ControllerManager},
		component: "device-taint-eviction-controller",
		rule: func(n inference, _ *corev1.PodCondition, by string) (Reason, bool) {
			return always(n.offItsDevice(by))
		},
	},
	"DeletionByPodGC": {
		writers:   []Actor{PodGC, ControllerManager},
		component: "pod-garbage-collector",
		rule: func(n inference, _ *corev1.PodCondition, by string) (Reason, bool) {
			return n.because(n.nodeDeleted(by))
		},
	},
	// The API server writes it while it evicts; whoever deletes the pod after that is not the one
	// who evicted it.
	"EvictionByEvictionAPI": {
		component: UnknownRemover,
		rule: func(n inference, _ *corev1.PodCondition, by string) (Reason, bool) {
			if n.Remover.Evicts {
				by = n.Remover.User
			}
			return n.because(n.evictedBy(by, "by "+by))
		},
	},
}

// bySchedulerOf recognises a second scheduler: the message starts with its name (K8s v1.37
// pkg/scheduler/framework/preemption), and it runs under a service account of its own, which by
// custom has that name. Anybody else who deletes the pod did not write this.
func bySchedulerOf(c *corev1.PodCondition, user string) bool {
	scheduler, _, named := strings.Cut(c.Message, ": ")
	return named && strings.HasPrefix(user, "system:serviceaccount:") &&
		strings.HasSuffix(user, ":"+scheduler)
}

// foreignDisruption is a DisruptionTarget condition of a component that Kubernetes does not ship.
// Its writer is not known, so on a living pod it explains no delete. Components whose words are
// known have their own entry in data/schedulers.yaml.
var foreignDisruption = disruption{
	component: UnknownRemover,
	rule: func(_ inference, c *corev1.PodCondition, by string) (Reason, bool) {
		return always(New(Pod, Evicted, joined(c.Reason, c.Message), by))
	},
}

// disruptionSays reads the DisruptionTarget condition. For what the kubelet ended, the pod's status
// says more.
func (n inference) disruptionSays() (Reason, bool) {
	c := podCondition(n.Pod, corev1.DisruptionTarget)
	if c == nil || c.Status != corev1.ConditionTrue ||
		c.Reason == corev1.PodReasonTerminationByKubelet {
		return Reason{}, false
	}
	d, ok := n.rules.disruptions[c.Reason]
	if !ok {
		d = foreignDisruption
	}
	writes := !n.Remover.Evicts &&
		(slices.Contains(d.writers, n.Remover.Actor) ||
			d.written != nil && d.written(c, n.Remover.User))
	if !n.settled() && (!writes || !n.fresh(c)) {
		return Reason{}, false
	}
	by := d.component
	if writes || n.Remover.Actor == 0 {
		by = n.Remover.User
	}
	return d.rule(n, c, by)
}

// settled reports whether the pod's end has begun, so that a condition about its end is no leftover
// of a deletion that was called off.
func (n inference) settled() bool { return n.Pod.DeletionTimestamp != nil || Finished(n.Pod) }

func (n inference) fresh(c *corev1.PodCondition) bool {
	return n.Now.Sub(c.LastTransitionTime.Time) <= disruptionWindow
}

// joined joins a word and its explanation.
func joined(what, more string) string {
	switch {
	case more == "":
		return what
	case what == "":
		return more
	}
	return what + ": " + more
}
