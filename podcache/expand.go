package podcache

import (
	"encoding/json"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
)

// expanded turns what an informer holds into what its readers expect: pods, and the last known
// state of pods whose deletion the watch missed.
func expanded(o any) any {
	switch o := o.(type) {
	case *record:
		return o.expand()
	case toolscache.DeletedFinalStateUnknown:
		return toolscache.DeletedFinalStateUnknown{Key: o.Key, Obj: expanded(o.Obj)}
	default:
		return o
	}
}

func expandedAll(all []any) []any {
	pods := make([]any, len(all))
	for n, o := range all {
		pods[n] = expanded(o)
	}
	return pods
}

// expand turns the record into a pod that shares no mutable data with it.
func (r *record) expand() *corev1.Pod {
	c := r.common.Value()
	p := &corev1.Pod{
		TypeMeta: c.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Name: r.name, Namespace: c.namespace, UID: r.podUID(),
			ResourceVersion: r.resourceVersion(),
			Generation:      r.generation, CreationTimestamp: r.creation(),
			OwnerReferences: c.owner.references(),
		},
		Spec: corev1.PodSpec{
			NodeName: r.node.Value(), Priority: c.priority.pointer(),
			PreemptionPolicy:              c.preemption.pointer(),
			TerminationGracePeriodSeconds: c.grace.pointer(), Tolerations: c.tolerations(),
		},
		Status: corev1.PodStatus{Phase: c.phase},
	}
	addWish(&p.Spec, c.wish)
	if r.rare == nil {
		return p
	}
	r.rare.addTo(p)
	return p.DeepCopy()
}

// addWish decodes what [wishOf] encoded.
func addWish(to *corev1.PodSpec, wish string) {
	if wish == "" {
		return
	}
	var from corev1.PodSpec
	if err := from.Unmarshal([]byte(wish)); err != nil { // We wrote it.
		return
	}
	to.SchedulerName, to.NodeSelector, to.Tolerations, to.Affinity = from.SchedulerName,
		from.NodeSelector, from.Tolerations, from.Affinity
}

func (few *rare) addTo(p *corev1.Pod) {
	p.Labels, p.Annotations, p.Finalizers = few.labels, few.annotations, few.finalizers
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = few.deleted, few.deletionGrace
	p.Spec.SchedulingGates, p.Spec.SchedulingGroup = few.gates, few.group
	p.Status.Reason, p.Status.Message = few.reason, few.message
	p.Status.NominatedNodeName, p.Status.Conditions = few.nominated, few.conditions
	p.Status.ContainerStatuses = few.ill
	if few.owners != nil {
		p.OwnerReferences = few.owners
	}
}

func (c common) tolerations() (all []corev1.Toleration) {
	if c.tolerates != "" {
		_ = json.Unmarshal([]byte(c.tolerates), &all) // what compact has written
	}
	return all
}

func (o owner) references() []metav1.OwnerReference {
	if o == (owner{}) {
		return nil
	}
	return []metav1.OwnerReference{{
		APIVersion: o.apiVersion, Kind: o.kind, Name: o.name, UID: o.uid,
		Controller: o.controller.pointer(), BlockOwnerDeletion: o.blocks.pointer(),
	}}
}

func (r *record) podUID() types.UID {
	switch {
	case r.uid != [16]byte{}:
		return types.UID(formatUUID(r.uid))
	case r.rare != nil:
		return r.rare.uid
	}
	return ""
}

func (r *record) resourceVersion() string {
	switch {
	case r.version != 0:
		return strconv.FormatUint(r.version, 10)
	case r.rare != nil:
		return r.rare.version
	}
	return ""
}

func (r *record) creation() metav1.Time {
	if r.created == (metav1.Time{}).Unix() {
		return metav1.Time{}
	}
	return metav1.Unix(r.created, 0)
}
