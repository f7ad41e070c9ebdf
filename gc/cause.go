package gc

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A Cause is why the collector handles a pod. The values are those of the built-in collector's
// metrics.
type Cause string

const (
	// CauseOrphaned is a pod whose Node does not exist.
	CauseOrphaned Cause = "orphaned"
	// CauseOutOfService is a terminating pod on a Node that is not Ready and has the out-of-service
	// taint.
	CauseOutOfService Cause = "out-of-service"
	// CauseUnscheduled is a terminating pod that was never bound.
	CauseUnscheduled Cause = "unscheduled"
	// CauseTerminated is a finished pod beyond the number that we keep.
	CauseTerminated Cause = "terminated"
	// CauseUnexplained is a terminating pod without a reason: it gets one, and ends by itself.
	CauseUnexplained Cause = "unexplained"
)

// A nodeState is the state of the Node with a given name.
type nodeState uint8

const (
	_ nodeState = iota
	absent
	inService
	outOfService
)

// causeOf returns why a pod must be handled, if it must. Whether there are too many finished pods
// is decided elsewhere (finishedPods).
func causeOf(pod *corev1.Pod, node nodeState, hasReason bool) (Cause, bool) {
	bound, terminating := pod.Spec.NodeName != "", pod.DeletionTimestamp != nil
	switch {
	case settled(pod, hasReason):
		return "", false
	case bound && node == absent:
		return CauseOrphaned, true
	case bound && node == outOfService && terminating:
		return CauseOutOfService, true
	case !bound && terminating:
		return CauseUnscheduled, true
	case terminating && !hasReason && !reason.Vanishing(pod):
		return CauseUnexplained, true
	default:
		return "", false
	}
}

// settled reports whether there is nothing left to do: the pod is deleted and finished, has its
// reason, and waits only for somebody else's finalizer.
func settled(pod *corev1.Pod, hasReason bool) bool {
	return pod.DeletionTimestamp != nil && reason.Graceless(pod) && len(pod.Finalizers) > 0 &&
		reason.Finished(pod) && hasReason
}

// stateOf returns the state of an existing Node. Like the built-in collector, it takes a Node as
// out of service only if it has the taint and is not Ready: with the taint a person says that the
// machine is off, and a kubelet that still reports Ready contradicts that (KEP-2268).
func stateOf(node *corev1.Node) nodeState {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return inService
		}
	}
	for _, t := range node.Spec.Taints {
		if t.Key == corev1.TaintNodeOutOfService {
			return outOfService
		}
	}
	return inService
}
