package termination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/jsonpatch"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Annotate writes r onto a living Pod or Node ahead of its deletion, marked as ours
// ([reason.WrittenKey]) so that it can be removed if the deletion does not happen. It returns the
// object's new resource version.
//
// The write is bound to the reason that obj carries, and to whether its deletion has begun: if the
// object has another reason by now, is being deleted, or is another object, nothing is written and
// the error is [ErrChanged]. The copy that admission gets may be stale, and a reason that somebody
// has just written must not be overwritten by one that was inferred without it, nor that of the
// deletion under way by that of a second one. Other changes do not matter, so an object that is
// written all the time can still be annotated.
func (t *Terminator) Annotate(ctx context.Context, obj client.Object,
	r reason.Reason) (resourceVersion string, err error) {
	return t.AnnotateFor(ctx, obj, r, "")
}

// AnnotateFor is [Terminator.Annotate] for a deletion that user has requested: while the object
// lives, another user's deletion has another reason ([Terminator.WrittenFor]).
func (t *Terminator) AnnotateFor(ctx context.Context, obj client.Object, r reason.Reason,
	user string) (resourceVersion string, err error) {
	return t.annotateAhead(ctx, obj, r, reason.Written{At: t.clock.Now(), What: digest(r.Text),
		Supposed: r.Supposed, For: user})
}

// Correct replaces the reason of a deletion under way by what has become known since. The mark
// keeps the time and the user of the first write.
func (t *Terminator) Correct(ctx context.Context, obj client.Object, r reason.Reason) error {
	w, ok := reason.ReadWritten(obj.GetAnnotations())
	if !ok {
		w.At = t.clock.Now()
	}
	w.What, w.Supposed = digest(r.Text), r.Supposed
	_, err := t.annotateAhead(ctx, obj, r, w)
	return err
}

// Complete is [Terminator.AnnotateFor] for a reason whose text is on the object already: only its
// code and its actor are ours.
func (t *Terminator) Complete(ctx context.Context, obj client.Object, r reason.Reason,
	user string) (resourceVersion string, err error) {
	return t.annotateAhead(ctx, obj, r, reason.Written{At: t.clock.Now(), What: completed,
		For: user})
}

// Mark writes only who requested the deletion, onto an object that carries a reason already: what
// somebody else wrote stays as it is.
func (t *Terminator) Mark(ctx context.Context, obj client.Object,
	user string) (resourceVersion string, err error) {
	return t.writeAhead(ctx, obj,
		map[string]string{reason.WrittenKey: mark(asked, user, t.clock.Now())})
}

func (t *Terminator) annotateAhead(ctx context.Context, obj client.Object, r reason.Reason,
	w reason.Written) (string, error) {
	subject, err := subjectOf(obj)
	if err != nil {
		return "", err
	}
	annotations := t.keys.Of(subject).Annotations(r)
	annotations[reason.WrittenKey] = w.String()
	version, err := t.writeAhead(ctx, obj, annotations)
	if err != nil {
		return t.holdInstead(ctx, obj, r, "", err)
	}
	return version, nil
}

// writeAhead adds annotations to the object if its reason is still the one that was read.
func (t *Terminator) writeAhead(ctx context.Context, obj client.Object,
	annotations map[string]string) (resourceVersion string, err error) {
	if reason.Vanishing(obj) {
		return "", ErrVanishing
	}
	target := &metav1.PartialObjectMetadata{}
	subject, err := identify(obj, target)
	if err != nil {
		return "", err
	}
	patch, err := json.Marshal(bound(obj, t.keys.Of(subject).Reason, annotations))
	if err != nil {
		return "", fmt.Errorf("encode the reason of %s %s: %w", subject,
			client.ObjectKeyFromObject(obj), err)
	}
	if err := t.client.Status().Patch(ctx, target,
		client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return "", fmt.Errorf("annotate %s %s: %w", subject, client.ObjectKeyFromObject(obj),
			asUnwritable(asStale(asGone(err))))
	}
	return target.ResourceVersion, nil
}

// bound returns the patch that adds annotations if the object has the same UID and the same value
// under key as obj. It must also terminate as obj does, or not: without any grace period left, the
// write would be its deletion ([ErrVanishing]).
func bound(obj client.Object, key string, annotations map[string]string) []jsonpatch.Operation {
	patch := []jsonpatch.Operation{jsonpatch.Test("/metadata/uid", obj.GetUID())}
	if grace := obj.GetDeletionGracePeriodSeconds(); grace != nil {
		patch = append(patch, jsonpatch.Test("/metadata/deletionGracePeriodSeconds", *grace))
	} else if obj.GetDeletionTimestamp() == nil {
		patch = append(patch, jsonpatch.Test("/metadata/deletionTimestamp", nil))
	}
	carried := obj.GetAnnotations()
	if len(carried) == 0 {
		return append(patch, jsonpatch.Test(jsonpatch.Annotations, nil),
			jsonpatch.Add(jsonpatch.Annotations, annotations))
	}
	var before any
	if value, ok := carried[key]; ok {
		before = value
	}
	patch = append(patch, jsonpatch.Test(jsonpatch.Annotation(key), before))
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		patch = append(patch, jsonpatch.Add(jsonpatch.Annotation(k), annotations[k]))
	}
	return patch
}

// patchFailed is the API server's message for a JSON patch that cannot be applied, and for nothing
// else: policies and validation say what they refuse (k8s.io/apiserver v0.37
// pkg/endpoints/handlers/patch.go, applyJSPatch).
const patchFailed = "the server rejected our request due to an error in our request"

// asStale turns the answer to a JSON patch whose test failed into ErrChanged.
func asStale(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != http.StatusUnprocessableEntity ||
		status.Status().Message != patchFailed {
		return err
	}
	return fmt.Errorf("%w (%w)", ErrChanged, err)
}
