package gc

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A Cause is why the collector takes a pod up. The words are those of the built-in collector's
// metrics.
type Cause string

const (
	// CauseOrphaned is a pod whose Node is not there.
	CauseOrphaned Cause = "orphaned"
	// CauseOutOfService is a terminating pod on a Node that is not Ready and was declared out of
	// service.
	CauseOutOfService Cause = "out-of-service"
	// CauseUnscheduled is a terminating pod that was never bound.
	CauseUnscheduled Cause = "unscheduled"
	// CauseTerminated is a finished pod beyond the number that is kept.
	CauseTerminated Cause = "terminated"
	// CauseUnexplained is a terminating pod that nobody gave a reason: it gets one, and ends by
	// itself.
	CauseUnexplained Cause = "unexplained"
)

// A nodeState is what is known of a Node by its name.
type nodeState uint8

const (
	_ nodeState = iota
	absent
	inService
	outOfService
)

// causeOf tells why a pod must be taken up, if it must. A finished pod is judged by their number,
// not here.
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

// settled tells whether all is done that can be done: the pod is deleted, finished and has its
// reason, and is only held by a finalizer of somebody else.
func settled(pod *corev1.Pod, hasReason bool) bool {
	return pod.DeletionTimestamp != nil && reason.Graceless(pod) && len(pod.Finalizers) > 0 &&
		reason.Finished(pod) && hasReason
}

// stateOf judges a Node that is there. As the built-in collector, it wants both: the taint is a
// person's word that the machine is off, and a kubelet that still reports Ready contradicts it
// (KEP-2268).
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
