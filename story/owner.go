package story

import (
	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// IsKind reports whether an owner is of that kind, as [reason.IsKind] does.
func IsKind(o v1alpha1.Owner, kind reason.Kind) bool {
	return reason.IsKind(o.APIVersion, o.Kind, kind)
}

// replaces reports whether an owner is one of the Kubernetes controllers that keep a number of pods
// running. Others of the same name, such as OpenKruise's StatefulSet, have rules of their own.
func replaces(o v1alpha1.Owner) bool {
	return IsKind(o, reason.ReplicaSetKind) || IsKind(o, reason.ReplicationControllerKind) ||
		IsKind(o, reason.StatefulSetKind) || IsKind(o, reason.DaemonSetKind)
}

// ownerName returns an owner's name for a sentence.
func ownerName(o v1alpha1.Owner) string {
	return clean(reason.KindOf(o.APIVersion, o.Kind)) + " " + clean(o.Name)
}

// again says who, if anybody, starts the pod again.
func (f Facts) again() []string {
	owners := f.spec().Owners
	if len(owners) == 0 {
		return []string{"Nobody: it had no controller."}
	}
	first := ownerName(owners[0])
	switch _, job := f.ownJob(); {
	case job:
		return f.jobAgain()
	case IsKind(owners[0], reason.NodeKind):
		return []string{"The kubelet of node " + clean(owners[0].Name) + ": it was a static pod."}
	case replaces(owners[0]):
		return []string{first + " replaces it by itself for as long as it wants it."}
	default:
		return []string{onlyItCanSay(first)}
	}
}

func (f Facts) jobAgain() []string {
	name, _ := f.ownJob()
	lines := []string{f.counted(name), saysState(name, f.jobState(), f.job())}
	for _, o := range f.spec().Owners[1:] {
		if IsKind(o, reason.CronJobKind) {
			lines = append(lines, "CronJob "+clean(o.Name)+nextJob)
		}
	}
	return lines
}

// nextJob follows the name of a CronJob.
const nextJob = " starts its next Job when its time comes, unless it is suspended."

func onlyItCanSay(owner string) string {
	return "Whether " + owner + " starts another pod by itself, only " + owner + " can say."
}
