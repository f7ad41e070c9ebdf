package reason

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

const unknownPreemptor = "its id is not known"

// preemptor names the pod or pod group that the victim had to make room for. The scheduler deletes
// the victim before it says for whom (its Event comes afterwards, and preemption is asynchronous).
// So the evidence is a pending pod of higher priority: one that is nominated to the victim's node,
// or else the only one that could run there and is not nominated at all. A pod that is nominated to
// another node waits for victims there, and preempts nobody meanwhile (K8s v1.37 defaultpreemption,
// PodEligibleToPreemptOthers). condition is the message of the victim's condition, which names the
// scheduler, and says whether it was a pod group. A name that does not follow from a nomination is
// supposed.
func (n inference) preemptor(condition string) (id string, supposed bool) {
	waiting := n.waiting(condition)
	if strings.HasSuffix(condition, "podgroup") {
		return n.preemptingGroup(slices.DeleteFunc(waiting,
			func(p *corev1.Pod) bool { return groupOf(p) == "" }))
	}
	if nominated := nominatedTo(waiting, n.Pod.Spec.NodeName); len(nominated) > 0 {
		return n.anyOf(nominated), false
	}
	if undecided := n.fitting(nominatedTo(waiting, "")); len(undecided) == 1 {
		return n.id(undecided[0]), true
	}
	return unknownPreemptor, false
}

// preemptingGroup names the group whose pods are nominated to the node, or else the only group of
// which a pod could run there.
func (n inference) preemptingGroup(members []*corev1.Pod) (id string, supposed bool) {
	if nominated := nominatedTo(members, n.Pod.Spec.NodeName); len(nominated) > 0 {
		return cmp.Or(n.group(nominated), n.anyOf(nominated)), false
	}
	if group := n.group(n.fitting(members)); group != "" {
		return group, true
	}
	return unknownPreemptor, false
}

// preempted returns the reason of a victim.
func (n inference) preempted(condition, by string) Reason {
	id, supposed := n.preemptor(condition)
	r := New(Pod, Preempted, id, by)
	r.Supposed = supposed
	return r
}

// waiting returns the pods that the victim can have been preempted for, in an order that does not
// depend on the cache's.
func (n inference) waiting(condition string) []*corev1.Pod {
	var all []*corev1.Pod
	for _, p := range n.Preemptors {
		if p.UID != n.Pod.UID && outranks(p, n.Pod) && scheduledBy(p, condition) && !n.tooYoung(p) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// scheduledBy reports whether the pod belongs to the scheduler that wrote the condition, whose
// message begins with the scheduler's name.
func scheduledBy(p *corev1.Pod, condition string) bool {
	scheduler, _, named := strings.Cut(condition, ": ")
	return !named || cmp.Or(p.Spec.SchedulerName, corev1.DefaultSchedulerName) == scheduler
}

// tooYoung reports whether the pod was created after the victim had been told to stop. Both times
// are the API server's. A later DELETE can have moved the victim's, but never to before the first.
func (n inference) tooYoung(p *corev1.Pod) bool {
	if n.Pod.DeletionTimestamp == nil || n.Pod.DeletionGracePeriodSeconds == nil {
		return false
	}
	told := n.Pod.DeletionTimestamp.Add(-time.Duration(
		*n.Pod.DeletionGracePeriodSeconds) * time.Second)
	return p.CreationTimestamp.After(told)
}

// fitting returns the pods that could run on the victim's node.
func (n inference) fitting(pods []*corev1.Pod) []*corev1.Pod {
	var some []*corev1.Pod
	for _, p := range pods {
		if n.Node != nil && fits(p, n.Node) {
			some = append(some, p)
		}
	}
	return some
}

// fits reports whether the scheduler would let the pod onto the node, as far as their specs say:
// selector, required node affinity, taints and cordon. Room, volumes and other pods are not
// considered.
func fits(p *corev1.Pod, node *corev1.Node) bool {
	if matches, err := nodeaffinity.GetRequiredNodeAffinity(p).Match(node); err != nil || !matches {
		return false
	}
	taints := node.Spec.Taints
	if node.Spec.Unschedulable {
		taints = append(slices.Clone(taints),
			corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	// of taints' values: a cluster that has them switched off has no pod that makes any
	const comparisons = true
	_, kept := corev1helpers.FindMatchingUntoleratedTaint(logr.Discard(), taints,
		p.Spec.Tolerations, keepsOff, comparisons)
	return !kept
}

// keepsOff reports whether a taint keeps pods from being scheduled, rather than only advises
// against it.
func keepsOff(t *corev1.Taint) bool {
	return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
}

func nominatedTo(pods []*corev1.Pod, node string) []*corev1.Pod {
	var some []*corev1.Pod
	for _, p := range pods {
		if p.Status.NominatedNodeName == node {
			some = append(some, p)
		}
	}
	return some
}

// outranks reports whether p can be scheduled in place of the victim.
func outranks(p, victim *corev1.Pod) bool {
	never := p.Spec.PreemptionPolicy != nil && *p.Spec.PreemptionPolicy == corev1.PreemptNever
	return p.Spec.NodeName == "" && p.DeletionTimestamp == nil && !Finished(p) && !never &&
		len(p.Spec.SchedulingGates) == 0 &&
		corev1helpers.PodPriority(p) > corev1helpers.PodPriority(victim)
}

// group names the pod group of its members; "" if there is none, or more than one.
func (n inference) group(members []*corev1.Pod) string {
	names := map[string]bool{}
	for _, p := range members {
		names[p.Namespace+"/"+groupOf(p)] = true
	}
	if len(names) != 1 {
		return ""
	}
	if first := members[0]; n.mayName(first) {
		return "pod group " + first.Namespace + "/" + groupOf(first)
	}
	return "the pod group of " + n.list(members)
}

// groupOf returns the name of the group that the pod belongs to; "" if there is none.
func groupOf(p *corev1.Pod) string {
	if g := p.Spec.SchedulingGroup; g != nil && g.PodGroupName != nil {
		return *g.PodGroupName
	}
	return ""
}

// anyOf names the preemptors on a node that several pods are nominated to: each of them needed the
// room.
func (n inference) anyOf(pods []*corev1.Pod) string {
	if len(pods) == 1 {
		return n.id(pods[0])
	}
	return "one of " + n.list(pods)
}

func (n inference) list(pods []*corev1.Pod) string {
	const shown = 3
	var ids []string
	for _, p := range pods[:min(shown, len(pods))] {
		ids = append(ids, n.id(p))
	}
	text := strings.Join(ids, ", ")
	if len(pods) > shown {
		text += " and others"
	}
	return text
}

// id returns the name by which the victim's owner may know the preemptor.
func (n inference) id(p *corev1.Pod) string {
	if n.mayName(p) {
		return p.Namespace + "/" + p.Name
	}
	return string(p.UID)
}

func (n inference) mayName(p *corev1.Pod) bool {
	return p.Namespace == n.Pod.Namespace || n.NamePreemptors
}

// Preemptor returns for whom a pod was preempted, according to a reason of ours; "" for any other
// reason.
func (r Reason) Preemptor() string {
	if r.Code != Preempted {
		return ""
	}
	id, _ := podSentences[Preempted].detail(r.Text)
	return id
}

// LacksPreemptor reports whether r says that a pod was preempted, but not for whom: nobody had been
// nominated yet when it was inferred.
func (r Reason) LacksPreemptor() bool { return r.Preemptor() == unknownPreemptor }

// WithoutPreemptor returns the reason of a pod that was preempted, not for the pod that r names.
func (r Reason) WithoutPreemptor() Reason { return New(Pod, Preempted, unknownPreemptor, r.By) }
