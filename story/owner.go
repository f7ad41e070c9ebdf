package story

import "slices"

// replacing are the controllers of Kubernetes that keep a number of pods going.
var replacing = []string{"ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet"}

// again says who, if anybody, starts the pod again.
func (f Facts) again() []string {
	owners := f.spec().Owners
	if len(owners) == 0 {
		return []string{"Nobody: it had no controller."}
	}
	first := clean(owners[0].Kind) + " " + clean(owners[0].Name)
	switch kind := owners[0].Kind; {
	case kind == "Job":
		return f.jobAgain()
	case kind == "Node":
		return []string{"The kubelet of node " + clean(owners[0].Name) + ": it was a static pod."}
	case slices.Contains(replacing, kind):
		return []string{first + " replaces it by itself for as long as it wants it."}
	default:
		return []string{"Whether " + first + " starts another pod by itself, only " + first +
			" can say."}
	}
}

func (f Facts) jobAgain() []string {
	name, _ := f.ownJob()
	lines := []string{f.counted(name), saysState(name, f.jobState(), f.job())}
	for _, o := range f.spec().Owners[1:] {
		if o.Kind == "CronJob" {
			lines = append(lines, "CronJob "+clean(o.Name)+
				" starts its next Job when its time comes, unless it is suspended.")
		}
	}
	return lines
}
