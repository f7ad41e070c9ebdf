package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

// scaleSubresource is what `kubectl scale` writes.
const scaleSubresource = "scale"

// scalable are the kinds whose controllers delete pods when fewer are wanted.
var scalable = map[schema.GroupResource]schema.GroupVersionKind{
	corev1.Resource("replicationcontrollers"): corev1.SchemeGroupVersion.WithKind(
		"ReplicationController"),
	appsv1.Resource("deployments"):  appsv1.SchemeGroupVersion.WithKind("Deployment"),
	appsv1.Resource("replicasets"):  appsv1.SchemeGroupVersion.WithKind("ReplicaSet"),
	appsv1.Resource("statefulsets"): appsv1.SchemeGroupVersion.WithKind("StatefulSet"),
	batchv1.Resource("jobs"):        batchv1.SchemeGroupVersion.WithKind("Job"),
}

func kindOfScalable(req *admissionv1.AdmissionRequest) (schema.GroupVersionKind, bool) {
	kind, ok := scalable[schema.GroupResource{Group: req.Resource.Group,
		Resource: req.Resource.Resource}]
	return kind, ok
}

// isScaling tells whether a review is about a change of how many pods something wants.
func isScaling(req *admissionv1.AdmissionRequest) bool {
	_, ok := kindOfScalable(req)
	return ok && req.Operation == admissionv1.Update &&
		(req.SubResource == "" || req.SubResource == scaleSubresource)
}

// A wish is how many pods something wants. It is itself, or a Scale.
type wish struct {
	metav1.PartialObjectMetadata `json:",inline"`
	Spec                         struct {
		// A Scale leaves out a zero; where it is a default, the API server has filled it in.
		Replicas    int32 `json:"replicas"`
		Parallelism int32 `json:"parallelism"`
		Suspend     bool  `json:"suspend"`
	} `json:"spec"`
}

// handleScaling records who had something have fewer pods, or none for the time being. It is a
// routine: nothing is asked of anybody, and only people are told of.
func (h *Handler) handleScaling(ctx context.Context, req *admissionv1.AdmissionRequest) outcome {
	var before, after wish
	if err := errors.Join(json.Unmarshal(req.OldObject.Raw, &before),
		json.Unmarshal(req.Object.Raw, &after)); err != nil {
		return outcome{action: actionFault, err: fmt.Errorf("read what is scaled: %w", err)}
	}
	d := requestBy(req)
	if h.owners == nil || h.inferrer.ActorOf(d.user, d.groups) != reason.Person {
		return outcome{action: actionIgnored}
	}
	owner := &after.PartialObjectMetadata
	kind, _ := kindOfScalable(req)
	owner.SetGroupVersionKind(kind)
	end := reason.OwnerEnd{Deleted: ownerNamed(owner), By: d.user,
		Application: reason.ApplicationOf(owner.Labels, owner.Annotations, d.user)}
	switch is, was := after.Spec, before.Spec; {
	case is.Suspend && !was.Suspend:
		end.Did = reason.Suspends
	case is.Replicas < was.Replicas:
		end.Did, end.To = reason.Scales, is.Replicas
	case is.Parallelism < was.Parallelism:
		end.Did, end.To = reason.Scales, is.Parallelism
	default:
		return outcome{action: actionIgnored}
	}
	return h.recordOwner(ctx, d.dryRun, outcome{action: actionFilled}, owner, end)
}

// A scaled owner is one whose controller deletes pods because fewer are wanted.
type scaled struct {
	kind reason.Kind
	name string
	uid  types.UID
	// did is what was done to it, and to how many pods; generation is the one that it has now.
	did        reason.OwnerDeed
	to         int32
	generation int64
}

func scaledTo(kind reason.Kind, o client.Object, to *int32) *scaled {
	return &scaled{kind: kind, name: o.GetName(), uid: o.GetUID(), did: reason.Scales,
		to: ptr.Deref(to, 1), generation: o.GetGeneration()}
}

// scaledJob is a Job that is suspended, or wants fewer pods than it has.
func scaledJob(job *batchv1.Job) *scaled {
	s := scaledTo(reason.JobKind, job, job.Spec.Parallelism)
	if ptr.Deref(job.Spec.Suspend, false) {
		s.did, s.to = reason.Suspends, 0
	}
	return s
}

// scaledBy is who had the owner have fewer pods. It is certain only where nobody has changed the
// owner since. Its managedFields would not tell: a manager is what a client calls itself, and a
// scale to zero leaves no entry.
func (h *Handler) scaledBy(ctx context.Context, namespace string,
	s *scaled) (*reason.OwnerEnd, error) {
	if s == nil {
		return nil, nil
	}
	end, err := h.owners.Scaling(ctx, audit.Deed{Kind: s.kind, Namespace: namespace, Name: s.name,
		UID: s.uid, Generation: s.generation})
	if err != nil || end == nil || end.Did != s.did || end.To != s.to {
		return nil, err
	}
	return end, nil
}
