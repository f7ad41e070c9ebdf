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
// ([reason.WrittenKey]): should the deletion not come about, it can be taken off again. It returns
// the object's new resource version.
//
// What is written is bound to the reason that obj carries: if the object has another one by now, or
// turned out to be another object, nothing is written and the error is [ErrChanged]. Admission is
// asked about copies that may be stale, and a word that somebody said a moment ago must not be
// overwritten by what was inferred without it. Other changes do not matter: an object that is
// written all the time can be annotated all the same.
func (t *Terminator) Annotate(ctx context.Context, obj client.Object,
	r reason.Reason) (resourceVersion string, err error) {
	return t.AnnotateFor(ctx, obj, r, "")
}

// AnnotateFor is [Terminator.Annotate] for the deletion that one user has asked for: another user's
// deletion has another reason, as long as the object lives ([Terminator.WrittenFor]).
func (t *Terminator) AnnotateFor(ctx context.Context, obj client.Object, r reason.Reason,
	user string) (resourceVersion string, err error) {
	return t.annotateAhead(ctx, obj, r, reason.Written{At: t.clock.Now(), What: digest(r.Text),
		Supposed: r.Supposed, For: user})
}

// Correct writes what has become known of a deletion that goes on: as it was written first, so was
// it asked for then.
func (t *Terminator) Correct(ctx context.Context, obj client.Object, r reason.Reason) error {
	w, ok := reason.ReadWritten(obj.GetAnnotations())
	if !ok {
		w.At = t.clock.Now()
	}
	w.What, w.Supposed = digest(r.Text), r.Supposed
	_, err := t.annotateAhead(ctx, obj, r, w)
	return err
}

// Complete is [Terminator.AnnotateFor] for a reason whose words are on the object already: only its
// code and its actor are ours.
func (t *Terminator) Complete(ctx context.Context, obj client.Object, r reason.Reason,
	user string) (resourceVersion string, err error) {
	return t.annotateAhead(ctx, obj, r, reason.Written{At: t.clock.Now(), What: completed,
		For: user})
}

// Mark writes onto an object that carries a reason only for whose sake it is deleted: what somebody
// wrote stays as it is.
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

// writeAhead adds annotations to the object, if the reason on it is the one that was read.
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

// bound is the patch that adds annotations if the object is the one that it was, with the same
// value under the key.
func bound(obj client.Object, key string, annotations map[string]string) []jsonpatch.Operation {
	patch := []jsonpatch.Operation{jsonpatch.Test("/metadata/uid", obj.GetUID())}
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

// patchFailed is what the API server says of a JSON patch that cannot be applied, and of nothing
// else: policies and validation that refuse a write say what they refuse (k8s.io/apiserver v0.37
// pkg/endpoints/handlers/patch.go, applyJSPatch).
const patchFailed = "the server rejected our request due to an error in our request"

// asStale turns the answer to a JSON patch whose test fails into ErrChanged.
func asStale(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != http.StatusUnprocessableEntity ||
		status.Status().Message != patchFailed {
		return err
	}
	return fmt.Errorf("%w (%w)", ErrChanged, err)
}
