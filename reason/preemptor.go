package reason

import (
	corev1 "k8s.io/api/core/v1"
)

// preemptor names the pod that the victim had to make room for. The scheduler deletes the victim before it says whom for
// (its Event comes afterwards, and preemption is asynchronous), so the mark is a pending pod of higher priority: one that is
// nominated to the victim's node, else the only one that there is.
func (i Inferrer) preemptor(f Facts) string {
	var nominated, waiting []*corev1.Pod
	for _, p := range f.Preemptors {
		if p.UID == f.Pod.UID || !outranks(p, f.Pod) {
			continue
		}
		waiting = append(waiting, p)
		if p.Status.NominatedNodeName == f.Pod.Spec.NodeName {
			nominated = append(nominated, p)
		}
	}
	switch {
	case len(nominated) == 1:
		return i.id(nominated[0], f.Pod)
	case len(nominated) == 0 && len(waiting) == 1:
		return i.id(waiting[0], f.Pod)
	case len(nominated) > 1:
		return i.anyOf(nominated, f.Pod)
	default:
		return "its id is not known"
	}
}

// outranks tells whether p can have been scheduled in place of the victim.
func outranks(p, victim *corev1.Pod) bool {
	return p.Spec.NodeName == "" && p.DeletionTimestamp == nil && priority(p) > priority(victim)
}

func priority(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// anyOf names the preemptors of a node that several pods are nominated to: each of them needed the room.
func (i Inferrer) anyOf(pods []*corev1.Pod, victim *corev1.Pod) string {
	const shown = 3
	text := "one of "
	for n, p := range pods[:min(shown, len(pods))] {
		if n > 0 {
			text += ", "
		}
		text += i.id(p, victim)
	}
	if len(pods) > shown {
		text += " and others"
	}
	return text
}

// id is how the victim's owner may know the preemptor.
func (i Inferrer) id(p, victim *corev1.Pod) string {
	if p.Namespace == victim.Namespace || i.NamePreemptors {
		return p.Namespace + "/" + p.Name
	}
	return string(p.UID)
}
