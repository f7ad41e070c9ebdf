package aftermath

import (
	"time"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An outage lasts from the panic until the machine was up again. It begins with a whole second, as
// all times of records do: what was created or started in that second was there when the kernel
// died, since nothing starts in the time that a machine needs to boot.
type outage struct{ from, back time.Time }

// lostIn reports whether a pod that is gone was lost in the outage: its deletion was requested
// while the node was down and it had not ended yet, or the restart failed it.
func lostIn(o outage, pod *v1alpha1.PodObituarySpec) bool {
	asked := pod.Removed.Time
	if pod.DeletionRequested != nil {
		asked = pod.DeletionRequested.Time
	}
	if pod.Created.After(o.from) || asked.Before(o.from) {
		return false
	}
	return !asked.After(o.back) && !endedBefore(o.from, pod) || failedIn(o, pod)
}

// failedIn reports whether the pod failed because one of its containers was cut off in the outage.
func failedIn(o outage, pod *v1alpha1.PodObituarySpec) bool {
	if pod.Phase != "Failed" || pod.Created.After(o.from) {
		return false
	}
	for _, c := range pod.Containers {
		if cutOff(o, c) {
			return true
		}
	}
	return false
}

// cutOff reports whether the container was running when the kernel died. Nothing ends by itself
// after that. A runtime that starts and finds a container without a process invents an end at about
// that time (containerd's CRI plugin: exit code 255 and reason Unknown); for a container that the
// runtime does not know, the kubelet writes ContainerStatusUnknown.
func cutOff(o outage, c v1alpha1.ContainerEnd) bool {
	if c.Started != nil && c.Started.After(o.from) {
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

// endedBefore reports whether all containers of the pod had ended by themselves before the panic.
func endedBefore(from time.Time, pod *v1alpha1.PodObituarySpec) bool {
	for _, c := range pod.Containers {
		if c.State != v1alpha1.Exited || c.Finished == nil || !c.Finished.Time.Before(from) {
			return false
		}
	}
	return len(pod.Containers) > 0
}

// lacksReason reports whether the record says no more than that the pod's node was silent or gone,
// or nothing. A reason that somebody gave for deleting the node is in its pods' records under
// NodeDeleted: that does count as a reason.
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
