package recorder

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
)

// climbs are the kinds of owners that are often owned themselves: a Job by a CronJob, a ReplicaSet
// by a Deployment. Those of others are not looked at; the right to read them is not ours.
var climbs = map[schema.GroupKind]bool{
	{Group: "batch", Kind: "Job"}:       true,
	{Group: "apps", Kind: "ReplicaSet"}: true,
}

// ownersOf returns the controllers above a pod, the nearest first. What cannot be read any more is
// left out: an owner that is gone took the name of its own with it.
func (r *Recorder) ownersOf(ctx context.Context, pod *corev1.Pod) []v1alpha1.Owner {
	var all []v1alpha1.Owner
	for ref := metav1.GetControllerOf(pod); ref != nil &&
		len(all) < obituary.MaxOwners; ref = r.above(ctx, pod.Namespace, *ref) {
		all = append(all, obituary.OwnerOf(ref))
	}
	return all
}

// above returns the controller of an owner. It is asked for once: the pods of one owner leave
// together.
func (r *Recorder) above(ctx context.Context, namespace string,
	ref metav1.OwnerReference) *metav1.OwnerReference {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || !climbs[schema.GroupKind{Group: gv.Group, Kind: ref.Kind}] {
		return nil
	}
	if known, ok := r.owners.Get(ref.UID); ok {
		return known.(*metav1.OwnerReference)
	}
	owner := &metav1.PartialObjectMetadata{}
	owner.SetGroupVersionKind(gv.WithKind(ref.Kind))
	if err := r.API.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name},
		owner); err != nil || owner.UID != ref.UID {
		return nil
	}
	above := metav1.GetControllerOf(owner)
	r.owners.Add(ref.UID, above)
	return above
}
