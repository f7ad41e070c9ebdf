package recorder

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/announce"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Reasons of the Events.
const (
	EventUnexplained = "PodUnexplained"
	EventDisrupted   = "PodDisrupted"
	EventRemoved     = "PodRemoved"
)

// announce reports what was recorded in Events: on the pod, on the controllers above it and on its
// node.
func (r *Recorder) announce(ctx context.Context, pod *corev1.Pod, o *v1alpha1.PodObituary,
	from source) {
	if r.Events == nil {
		return
	}
	kind, what := corev1.EventTypeNormal, EventRemoved
	switch {
	case from == none:
		kind, what = corev1.EventTypeWarning, EventUnexplained
	case o.Spec.Class == reason.Disruption.String():
		kind, what = corev1.EventTypeWarning, EventDisrupted
	}
	end := announce.End{
		Pod: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace,
			Name: pod.Name, UID: pod.UID},
		Owners: ownersToTell(o), Type: kind, Reason: what, Code: o.Spec.Code,
		Class: o.Spec.Class, Text: o.Spec.Reason,
		Failed: o.Spec.Phase != string(corev1.PodSucceeded),
	}
	if node, err := r.node(ctx, pod.Spec.NodeName); err == nil && node != nil {
		end.Node = &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node.Name,
			UID: node.UID}
	}
	r.Events.Tell(end)
}

// ownersToTell returns the controllers above the pod. It leaves out a node that owns its static
// pods: that gets an Event as their node.
func ownersToTell(o *v1alpha1.PodObituary) (all []corev1.ObjectReference) {
	for _, owner := range o.Spec.Owners {
		if owner.APIVersion != "v1" || owner.Kind != "Node" {
			all = append(all, corev1.ObjectReference{APIVersion: owner.APIVersion, Kind: owner.Kind,
				Namespace: o.Namespace, Name: owner.Name, UID: owner.UID})
		}
	}
	return all
}

// OfJobs returns a function that says, of a Job with so many disrupted pods, whether those are all
// the failures that it counts: then a podFailurePolicy would have kept it from counting them. The
// Job has counted each pod that is gone, once (K8s v1.37 pkg/controller/job,
// trackJobStatusAndRemoveFinalizers). It errs if the Job cannot be read.
func OfJobs(live client.Reader) func(context.Context, corev1.ObjectReference, int) (string, error) {
	return func(ctx context.Context, about corev1.ObjectReference, disrupted int) (string, error) {
		return ofJob(ctx, live, about, disrupted)
	}
}

func ofJob(ctx context.Context, live client.Reader, about corev1.ObjectReference,
	disrupted int) (string, error) {
	if about.Kind != "Job" || about.APIVersion != batchv1.SchemeGroupVersion.String() {
		return "", nil
	}
	job := &batchv1.Job{}
	err := live.Get(ctx, types.NamespacedName{Namespace: about.Namespace, Name: about.Name}, job)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read Job %s/%s: %w", about.Namespace, about.Name, err)
	case job.UID != about.UID:
		return "", nil
	}
	failed := int(job.Status.Failed)
	if u := job.Status.UncountedTerminatedPods; u != nil {
		failed += len(u.Failed)
	}
	if failed != disrupted || job.Spec.PodFailurePolicy != nil {
		return "", nil
	}
	return fmt.Sprintf("All failures that the Job counts (%d) were disruptions; "+
		"a podFailurePolicy that ignores DisruptionTarget would not have counted them.", failed), nil
}
