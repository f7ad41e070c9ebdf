package podcache

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// compact copies instead of clearing: what is cleared would keep the memory of the whole it was decoded into.
func compact(p *corev1.Pod, kept []string) *record {
	r := &record{
		name:       p.Name,
		generation: p.Generation,
		created:    p.CreationTimestamp.Unix(),
		node:       unique.Make(p.Spec.NodeName),
		common:     unique.Make(commonOf(p)),
	}
	few := rareOf(p, kept)
	if id, ok := parseUUID(string(p.UID)); ok {
		r.uid = id
	} else {
		few.uid = p.UID
	}
	if n, err := strconv.ParseUint(p.ResourceVersion, 10, 64); err == nil && n != 0 && strconv.FormatUint(n, 10) == p.ResourceVersion {
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
	}
	if len(p.OwnerReferences) == 1 {
		c.owner = ownerOf(p.OwnerReferences[0])
	}
	return c
}

func ownerOf(o metav1.OwnerReference) owner {
	return owner{
		apiVersion: o.APIVersion, kind: o.Kind, name: o.Name, uid: o.UID,
		controller: optionalOf(o.Controller), blocks: optionalOf(o.BlockOwnerDeletion),
	}
}

func rareOf(p *corev1.Pod, kept []string) rare {
	few := rare{
		annotations:   only(p.Annotations, kept),
		finalizers:    p.Finalizers,
		deleted:       p.DeletionTimestamp,
		deletionGrace: p.DeletionGracePeriodSeconds,
		gates:         p.Spec.SchedulingGates,
		group:         p.Spec.SchedulingGroup,
		reason:        p.Status.Reason,
		message:       p.Status.Message,
		nominated:     p.Status.NominatedNodeName,
		conditions:    disruptions(p.Status.Conditions),
	}
	if len(p.OwnerReferences) > 1 {
		few.owners = p.OwnerReferences
	}
	return few
}

// disruptions keeps the conditions that say why a pod goes (the second is Kueue's, the third reason.HeldIn); a pod that lives has
// none, and no list either.
func disruptions(all []corev1.PodCondition) []corev1.PodCondition {
	var kept []corev1.PodCondition
	for _, c := range all {
		if c.Type == corev1.DisruptionTarget || c.Type == "TerminationTarget" || c.Type == "epitaph-k8s.io/TerminationReason" {
			kept = append(kept, c)
		}
	}
	return kept
}

func only(annotations map[string]string, kept []string) map[string]string {
	if !slices.ContainsFunc(kept, func(k string) bool { _, ok := annotations[k]; return ok }) {
		return nil
	}
	all := maps.Clone(annotations)
	maps.DeleteFunc(all, func(k, _ string) bool { return !slices.Contains(kept, k) })
	return all
}
