package aftermath

import (
	"time"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An outage is from the panic until the machine was up again.
type outage struct{ from, back time.Time }

// lostIn tells whether a pod that is gone was lost in the outage: its deletion was asked for while
// the node was down, when it had not ended yet, or the restart failed it.
func lostIn(o outage, pod *v1alpha1.PodObituarySpec) bool {
	asked := pod.Removed.Time
	if pod.DeletionRequested != nil {
		asked = pod.DeletionRequested.Time
	}
	if !pod.Created.Time.Before(o.from) || asked.Before(o.from) {
		return false
	}
	return !asked.After(o.back) && !endedBefore(o.from, pod) || failedIn(o, pod)
}

// failedIn tells whether the pod failed because a container of it was cut off in the outage.
func failedIn(o outage, pod *v1alpha1.PodObituarySpec) bool {
	if pod.Phase != "Failed" || !pod.Created.Time.Before(o.from) {
		return false
	}
	for _, c := range pod.Containers {
		if cutOff(o, c) {
			return true
		}
	}
	return false
}

// cutOff tells whether the container ran when the kernel died. Nothing ends by itself after that: a
// runtime that finds a container without a process when it starts gives it an end of its own
// making, of about that time (containerd's CRI plugin: exit code 255 and reason Unknown), and of
// one that it does not find the kubelet says so (ContainerStatusUnknown).
func cutOff(o outage, c v1alpha1.ContainerEnd) bool {
	if c.Started != nil && !c.Started.Time.Before(o.from) {
		return false
	}
	switch {
	case c.State == v1alpha1.Running:
		return true
	case c.State != v1alpha1.Exited:
		return false
	case c.Finished != nil && c.Started != nil && !c.Finished.Time.Before(c.Started.Time):
		return !c.Finished.Time.Before(o.from)
	default:
		return c.Reason == "Unknown" || c.Reason == "ContainerStatusUnknown"
	}
}

// endedBefore tells whether all that the pod ran had ended by itself before the panic.
func endedBefore(from time.Time, pod *v1alpha1.PodObituarySpec) bool {
	for _, c := range pod.Containers {
		if c.State != v1alpha1.Exited || c.Finished == nil || !c.Finished.Time.Before(from) {
			return false
		}
	}
	return len(pod.Containers) > 0
}

// lacksReason tells whether the record says no more than that the pod's node was silent or gone, or
// nothing. Words that somebody gave for the end of the node stand in the records of its pods under
// NodeDeleted: they are a reason.
func lacksReason(pod *v1alpha1.PodObituarySpec) bool {
	switch c := reason.Code(pod.Code); c {
	case reason.Unexplained, reason.NodeUnreachable:
		return true
	case reason.NodeDeleted:
		return pod.Reason == string(reason.New(reason.Pod, c, pod.NodeName, "").Text)
	default:
		return false
	}
}
