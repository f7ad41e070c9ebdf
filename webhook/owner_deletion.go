package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// ownersResource is what rules and metrics call everything that owns pods.
const ownersResource = "owners"

const (
	// ownerEndTimeout bounds the look-up of who deleted the owner of a pod, two GETs, where the
	// reason is written after the answer: what is not known by then is asked again before that.
	ownerEndTimeout = time.Second
	// ownerEndLastTimeout bounds it where the reason is written before the answer.
	ownerEndLastTimeout = 2 * time.Second
)

// isOwner tells whether a review is about the deletion of something that may own pods.
func isOwner(req *admissionv1.AdmissionRequest) bool {
	if req.Operation != admissionv1.Delete || req.SubResource != "" {
		return false
	}
	if req.Resource.Group != "" {
		return req.Resource.Resource != "pods" && req.Resource.Resource != "nodes"
	}
	return slices.Contains([]string{"namespaces",
		"replicationcontrollers"}, req.Resource.Resource)
}

// decodeOwner reads the metadata of what is deleted.
func decodeOwner(req *admissionv1.AdmissionRequest) (*metav1.PartialObjectMetadata, error) {
	if len(req.OldObject.Raw) == 0 {
		return nil, errors.New("the review has no oldObject: what is to be deleted is missing")
	}
	owner := &metav1.PartialObjectMetadata{}
	if err := json.Unmarshal(req.OldObject.Raw, owner); err != nil {
		return nil, fmt.Errorf("read the oldObject of the review: %w", err)
	}
	owner.SetGroupVersionKind(schema.GroupVersionKind{Group: req.Kind.Group,
		Version: req.Kind.Version, Kind: req.Kind.Kind})
	return owner, nil
}

// handleOwner decides about the deletion of an owner of pods, and records who asked for it before
// it is allowed: in a background cascade, the owner is gone before its pods.
func (h *Handler) handleOwner(ctx context.Context, req *admissionv1.AdmissionRequest) outcome {
	owner, err := decodeOwner(req)
	if err != nil {
		return outcome{action: actionFault, err: err}
	}
	// Where it is being deleted already, somebody else has decided that.
	if h.owners == nil || owner.DeletionTimestamp != nil || orphans(req, owner) {
		return outcome{action: actionIgnored}
	}
	d := requestBy(req)
	d.actor = h.inferrer.ActorOf(d.user, d.groups)
	if d.actor == reason.OwnerGC {
		return h.inherit(ctx, owner, d.dryRun)
	}
	if d.actor == reason.Autoscaler {
		return outcome{action: actionIgnored} // It says why on the NodeClaim.
	}
	d.subject, d.operation, d.owns = reason.Pod, config.Delete, true
	d.namespace = owner.Namespace
	if reason.KindIn(owner.APIVersion, owner.Kind) == reason.NamespaceKind {
		d.namespace = owner.Name
	}
	d.raw = func() ([]byte, error) { return req.OldObject.Raw, nil }
	p := h.policy.Load()
	rule, err := p.decide(ctx, d.deletion, h.labelsOf)
	switch {
	case err != nil:
		return outcome{action: actionFault, rule: rule.Name, err: err}
	case rule.Action == config.Ignore:
		return outcome{action: actionIgnored, rule: rule.Name}
	}
	o := outcome{action: actionFilled, rule: rule.Name}
	said, problem := h.inferrer.Keys.Pod.Read(owner.Annotations)
	if problem != nil && rule.Action == config.Require {
		o.message = ownerDenial(req, owner, h.inferrer.Keys.Pod.Reason, rule.Name, problem)
		if p.mode != config.AuditMode {
			o.action = actionDenied
			return o
		}
		o.action, o.message = actionWarned, "epitaph (audit only): "+o.message
	}
	return h.recordOwner(ctx, d.dryRun, o, owner, reason.OwnerEnd{
		Deleted: ownerNamed(owner), By: d.user, Says: string(said.Text),
		Application: reason.ApplicationOf(owner.Labels, owner.Annotations, d.user),
	})
}

// ownerAbove is what the owner goes with. A NodePool does not call itself the controller of its
// NodeClaims (sigs.k8s.io/karpenter v1.14.1 pkg/controllers/provisioning).
func ownerAbove(owner *metav1.PartialObjectMetadata) *metav1.OwnerReference {
	for n := range owner.OwnerReferences {
		ref := &owner.OwnerReferences[n]
		if reason.KindIn(ref.APIVersion, ref.Kind) == (reason.Kind{Group: karpenterGroup,
			Kind: nodePoolKind}) {
			return ref
		}
	}
	return metav1.GetControllerOfNoCopy(owner)
}

// inherit copies the record of an owner to what the garbage collector deletes because of it: a Job
// goes with its JobSet, and the pods with the Job.
func (h *Handler) inherit(ctx context.Context, owner *metav1.PartialObjectMetadata,
	dryRun bool) outcome {
	ref := ownerAbove(owner)
	if ref == nil {
		return outcome{action: actionIgnored}
	}
	end, err := h.owners.Deletion(ctx, reason.KindIn(ref.APIVersion, ref.Kind), owner.Namespace,
		ref.Name, ref.UID)
	switch {
	case err != nil:
		return outcome{action: actionFault, err: err}
	case end == nil:
		return outcome{action: actionIgnored}
	}
	return h.recordOwner(ctx, dryRun, outcome{action: actionFilled}, owner, *end)
}

func (h *Handler) recordOwner(ctx context.Context, dryRun bool, o outcome,
	owner *metav1.PartialObjectMetadata, end reason.OwnerEnd) outcome {
	if dryRun {
		o.action = actionDryRun
		return o
	}
	ctx, cancel := context.WithTimeout(ctx, h.writeTimeout)
	defer cancel()
	generation, err := h.ownerIsThere(ctx, owner)
	if end.Did == reason.Deletes {
		generation = 0
	}
	if err == nil {
		err = h.owners.Record(ctx, v1alpha1.OwnerObituarySpec{
			APIVersion: owner.APIVersion, Kind: owner.Kind, Namespace: owner.Namespace,
			Name: owner.Name, UID: owner.UID, Created: owner.CreationTimestamp,
			Did: string(end.Did), To: end.To, Generation: generation, Deleted: end.Deleted,
			DeletedBy: end.By, Application: end.Application, Reason: end.Says,
		})
	}
	switch {
	case apierrors.IsNotFound(err):
		o.action = actionGone
	case err != nil:
		return outcome{action: actionFault, rule: o.rule, err: err}
	}
	return o
}

// ownerIsThere asks the API server: anybody who reaches our port may claim that something is
// deleted. It returns the generation that the owner's next change makes.
func (h *Handler) ownerIsThere(ctx context.Context,
	owner *metav1.PartialObjectMetadata) (next int64, err error) {
	there := &metav1.PartialObjectMetadata{}
	there.SetGroupVersionKind(owner.GroupVersionKind())
	from := h.live
	if reason.KindIn(owner.APIVersion, owner.Kind) == reason.NamespaceKind {
		from = h.reader
	}
	key := client.ObjectKeyFromObject(owner)
	err = from.Get(ctx, key, there)
	switch {
	case err == nil && (there.UID != owner.UID || there.UID == ""):
		return 0, apierrors.NewNotFound(corev1.Resource(ownersResource), owner.Name)
	case client.IgnoreNotFound(err) != nil:
		return 0, fmt.Errorf("look for %s %s: %w", owner.Kind, reason.Clean(key.String()), err)
	}
	return there.Generation + 1, err
}

// orphans tells whether the pods stay.
func orphans(req *admissionv1.AdmissionRequest, owner *metav1.PartialObjectMetadata) bool {
	// A field of its own, since that of DeleteOptions is deprecated, and still obeyed.
	var o struct {
		PropagationPolicy *metav1.DeletionPropagation `json:"propagationPolicy"`
		OrphanDependents  *bool                       `json:"orphanDependents"`
	}
	if len(req.Options.Raw) > 0 && json.Unmarshal(req.Options.Raw, &o) != nil {
		return false
	}
	switch {
	case o.PropagationPolicy != nil:
		return *o.PropagationPolicy == metav1.DeletePropagationOrphan
	case o.OrphanDependents != nil:
		return *o.OrphanDependents
	default:
		return slices.Contains(owner.Finalizers, metav1.FinalizerOrphanDependents)
	}
}

// ownerEndFacts adds who deleted the pod's owner, or had it have fewer pods, if the pod goes
// because of that. It is read from the API server: the record was written a moment ago. If the
// look-up fails, it stays unknown; it reports whether asking again is of no use.
func (h *Handler) ownerEndFacts(ctx context.Context, f *reason.Facts, fewer *scaled,
	limit time.Duration) (known bool) {
	if h.owners == nil || !asksForOwner[f.Remover.Actor] && !withItsNamespace(f) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	end, err := h.ownerEnd(ctx, f, fewer)
	if err != nil {
		h.log.V(1).Info("who deleted the owner of a pod is not known yet", "error",
			reason.Clean(err.Error()))
	}
	if end != nil {
		f.OwnerEnd = *end
	}
	return err == nil || apierrors.IsForbidden(err)
}

func withItsNamespace(f *reason.Facts) bool {
	return f.NamespaceTerminating || f.Remover.Actor == reason.NamespaceController
}

func (h *Handler) ownerEnd(ctx context.Context, f *reason.Facts,
	fewer *scaled) (*reason.OwnerEnd, error) {
	if withItsNamespace(f) {
		ns, err := h.namespace(ctx, f.Pod.Namespace)
		if err != nil {
			return nil, err
		}
		return h.owners.OfNamespace(ctx, ns)
	}
	if f.Remover.Actor != reason.OwnerGC && !f.Owner.Deleted {
		return h.scaledBy(ctx, f.Pod.Namespace, fewer)
	}
	return h.owners.OfPod(ctx, f.Pod)
}

func ownerNamed(owner *metav1.PartialObjectMetadata) string {
	return reason.KindOf(owner.APIVersion, owner.Kind) + " " + owner.Name
}

// ownerDenial is the text that a person reads whose deletion of an owner was denied.
func ownerDenial(req *admissionv1.AdmissionRequest, owner *metav1.PartialObjectMetadata,
	key, rule string, problem error) string {
	what := req.Resource.Resource
	if req.Resource.Group != "" {
		what += "." + req.Resource.Group
	}
	what += " " + owner.Name
	if owner.Namespace != "" {
		what += " -n " + owner.Namespace
	}
	return fmt.Sprintf(
		`%s must not be deleted without a reason (rule %q): %v. Say why, then delete it:
  kubectl annotate %s --overwrite %s='WHY IT HAS TO GO'
  kubectl delete %s`, ownerNamed(owner), rule, problem, what, key, what)
}
