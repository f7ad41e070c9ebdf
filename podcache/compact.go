package podcache

import (
	"encoding/json"
	"reflect"
	"strconv"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// compact copies instead of clearing fields: a cleared pod would still hold the memory it was
// decoded into.
func compact(p *corev1.Pod, reads Reads) *record {
	r := &record{
		name:       p.Name,
		generation: p.Generation,
		created:    p.CreationTimestamp.Unix(),
		node:       unique.Make(p.Spec.NodeName),
		common:     unique.Make(commonOf(p)),
	}
	few := rareOf(p, reads)
	if id, ok := parseUUID(string(p.UID)); ok {
		r.uid = id
	} else {
		few.uid = p.UID
	}
	if n, err := strconv.ParseUint(p.ResourceVersion, 10, 64); err == nil && n != 0 &&
		strconv.FormatUint(n, 10) == p.ResourceVersion {
		r.version = n
	} else {
		few.version = p.ResourceVersion
	}
	if !reflect.ValueOf(few).IsZero() {
		r.rare = &few
	}
	return r
}

func commonOf(p *corev1.Pod) common {
	c := common{
		TypeMeta:   p.TypeMeta,
		namespace:  p.Namespace,
		phase:      p.Status.Phase,
		priority:   optionalOf(p.Spec.Priority),
		preemption: optionalOf(p.Spec.PreemptionPolicy),
		grace:      optionalOf(p.Spec.TerminationGracePeriodSeconds),
		tolerates:  tolerations(p),
		wish:       wishOf(p),
	}
	if len(p.OwnerReferences) == 1 {
		c.owner = ownerOf(p.OwnerReferences[0])
	}
	return c
}

// wishOf encodes where a pod that waits for a node wants to run. The pods of one template share it;
// bound pods, nearly all, have none.
func wishOf(p *corev1.Pod) string {
	if p.Spec.NodeName != "" {
		return ""
	}
	wish := corev1.PodSpec{
		SchedulerName: p.Spec.SchedulerName, NodeSelector: p.Spec.NodeSelector,
		Tolerations: p.Spec.Tolerations, Affinity: required(p.Spec.Affinity),
	}
	if reflect.ValueOf(wish).IsZero() {
		return ""
	}
	text, err := wish.Marshal()
	if err != nil { // It was decoded, so it can be encoded.
		return ""
	}
	return string(text)
}

// required returns what the affinity requires of a node.
func required(a *corev1.Affinity) *corev1.Affinity {
	if a == nil || a.NodeAffinity == nil {
		return nil
	}
	required := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil {
		return nil
	}
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: required,
	}}
}

func ownerOf(o metav1.OwnerReference) owner {
	return owner{
		apiVersion: o.APIVersion, kind: o.Kind, name: o.Name, uid: o.UID,
		controller: optionalOf(o.Controller), blocks: optionalOf(o.BlockOwnerDeletion),
	}
}

func rareOf(p *corev1.Pod, reads Reads) rare {
	few := rare{
		labels:        only(p.Labels, reads.Label),
		annotations:   only(p.Annotations, reads.Annotation),
		finalizers:    p.Finalizers,
		deleted:       p.DeletionTimestamp,
		deletionGrace: p.DeletionGracePeriodSeconds,
		gates:         p.Spec.SchedulingGates,
		group:         p.Spec.SchedulingGroup,
		reason:        p.Status.Reason,
		message:       p.Status.Message,
		nominated:     p.Status.NominatedNodeName,
		conditions:    conditions(p.Status.Conditions, reads),
		ill:           ill(p, reads),
	}
	if len(p.OwnerReferences) > 1 {
		few.owners = p.OwnerReferences
	}
	return few
}

// conditions keeps those that say why a pod goes; a living pod has none, and a nil slice.
func conditions(all []corev1.PodCondition, reads Reads) []corev1.PodCondition {
	var kept []corev1.PodCondition
	for n := range all {
		if reads.Condition(&all[n]) {
			kept = append(kept, all[n])
		}
	}
	return kept
}

// ill returns the containers with devices that are kept (KEP-4680), with these devices only.
func ill(p *corev1.Pod, reads Reads) []corev1.ContainerStatus {
	var some []corev1.ContainerStatus
	for _, all := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses,
		p.Status.ContainerStatuses} {
		for _, s := range all {
			if resources := reads.Devices(s.AllocatedResourcesStatus); len(resources) > 0 {
				some = append(some, corev1.ContainerStatus{Name: s.Name,
					AllocatedResourcesStatus: resources})
			}
		}
	}
	return some
}

// tolerations encodes those that let a pod stay on a tainted node for ever. Most pods have none,
// and those of a DaemonSet all have the same. For a pod that waits for a node, they are part of its
// wish.
func tolerations(p *corev1.Pod) string {
	if p.Spec.NodeName == "" {
		return ""
	}
	var lasting []corev1.Toleration
	for _, t := range p.Spec.Tolerations {
		if t.TolerationSeconds == nil && (t.Effect == "" ||
			t.Effect == corev1.TaintEffectNoExecute) {
			lasting = append(lasting, t)
		}
	}
	if len(lasting) == 0 {
		return ""
	}
	text, _ := json.Marshal(lasting) // strings, which can always be encoded
	return string(text)
}

// only returns the entries that are read. Many objects share their strings.
func only(all map[string]string, kept func(key string) bool) map[string]string {
	var some map[string]string
	for k, v := range all {
		if kept(k) {
			if some == nil {
				some = map[string]string{}
			}
			some[shared(k)] = shared(v)
		}
	}
	return some
}
