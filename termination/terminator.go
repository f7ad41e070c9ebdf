package termination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

var (
	// ErrGone says that the object no longer exists: not at all, or only as another object of the same name.
	ErrGone = errors.New("the object is gone")
	// ErrVanishing says that the pod is past the point where a reason can be written on it: its deletion timestamp is set,
	// its grace period is 0 and no finalizer holds it. To the API server any update of such a pod is its deletion, which
	// answers 200 and loses the text (k8s.io/apiserver v0.37 pkg/registry/generic/registry/store.go, deleteWithoutFinalizers).
	ErrVanishing = errors.New("any write would delete the object")
)

// A Terminator writes reasons and carries terminations out. It is safe for concurrent use.
type Terminator struct {
	client client.Client
	keys   reason.KeySet
	clock  clock.PassiveClock
}

// New returns a Terminator that writes through c under the given annotation keys.
func New(c client.Client, keys reason.KeySet, clk clock.PassiveClock) *Terminator {
	return &Terminator{client: c, keys: keys, clock: clk}
}

// Annotate writes r onto a living Pod or Node, through its status subresource: that accepts annotations and needs no right
// over anybody's spec. It returns the object's new resource version.
func (t *Terminator) Annotate(ctx context.Context, obj client.Object, r reason.Reason) (resourceVersion string, err error) {
	if vanishing(obj) {
		return "", ErrVanishing
	}
	target := &metav1.PartialObjectMetadata{}
	subject, err := identify(obj, target)
	if err != nil {
		return "", err
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": obj.GetUID(), "annotations": t.keys.Of(subject).Annotations(r)},
	})
	if err != nil {
		return "", fmt.Errorf("encode the reason of %s %s: %w", subject, client.ObjectKeyFromObject(obj), err)
	}
	err = t.client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, patch))
	if err != nil {
		return "", fmt.Errorf("annotate %s %s: %w", subject, client.ObjectKeyFromObject(obj), asGone(err))
	}
	return target.ResourceVersion, nil
}

// Clear takes the reason off a living Pod or Node.
func (t *Terminator) Clear(ctx context.Context, obj client.Object) error {
	target := &metav1.PartialObjectMetadata{}
	subject, err := identify(obj, target)
	if err != nil {
		return err
	}
	keys := t.keys.Of(subject)
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": obj.GetUID(), "annotations": map[string]any{keys.Reason: nil, keys.Code: nil, keys.By: nil}},
	})
	if err != nil {
		return fmt.Errorf("encode the patch of %s %s: %w", subject, client.ObjectKeyFromObject(obj), err)
	}
	if err := t.client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("clear the reason of %s %s: %w", subject, client.ObjectKeyFromObject(obj), asGone(err))
	}
	return nil
}

// TerminatePod fails the pod with reason r and then deletes it without grace: for pods whose node cannot end them any more.
// The patch that fails it is what a Job's controller counts by. A pod that a finalizer holds stays, Failed and with its
// reason, until the finalizer's owner lets go.
func (t *Terminator) TerminatePod(ctx context.Context, pod *corev1.Pod, r reason.Reason) error {
	switch err := t.failPod(ctx, pod, r); {
	case errors.Is(err, ErrVanishing):
		// Its deletion is all that is left to do.
	case err != nil:
		return err
	}
	return t.Delete(ctx, pod, client.GracePeriodSeconds(0))
}

// Delete deletes the object that obj is, not another of the same name.
func (t *Terminator) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	target := &metav1.PartialObjectMetadata{}
	subject, err := identify(obj, target)
	if err != nil {
		return err
	}
	uid := obj.GetUID()
	err = t.client.Delete(ctx, target, append(opts, client.Preconditions{UID: &uid})...)
	if err != nil {
		return fmt.Errorf("delete %s %s: %w", subject, client.ObjectKeyFromObject(obj), asDeleted(err))
	}
	return nil
}

// identify makes target name the object that obj is, and tells its kind. An object without a UID is a programmer's error.
func identify(obj client.Object, target *metav1.PartialObjectMetadata) (reason.Subject, error) {
	subject := reason.Pod
	switch o := obj.(type) {
	case *corev1.Pod:
		target.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	case *corev1.Node:
		subject = reason.Node
		target.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Node"))
	default:
		return 0, fmt.Errorf("cannot terminate a %T: only pods and nodes", o)
	}
	if obj.GetUID() == "" {
		return 0, fmt.Errorf("cannot write to %s %s without its UID", subject, client.ObjectKeyFromObject(obj))
	}
	target.Name, target.Namespace = obj.GetName(), obj.GetNamespace()
	return subject, nil
}

// vanishing tells whether any update of the object would be its deletion.
func vanishing(obj client.Object) bool {
	if obj.GetDeletionTimestamp() == nil || len(obj.GetFinalizers()) > 0 {
		return false
	}
	grace := obj.GetDeletionGracePeriodSeconds()
	return grace == nil || *grace == 0
}

// asGone turns what the API server says of a patch to a missing or replaced object into ErrGone: 404, and 422 for a UID that
// differs, with metadata.uid as the field that is immutable.
func asGone(err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%w (%w)", ErrGone, err)
	}
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return err
	}
	for _, c := range status.Status().Details.Causes {
		if c.Field == "metadata.uid" {
			return fmt.Errorf("%w (%w)", ErrGone, err)
		}
	}
	return err
}

// asDeleted turns what the API server says of a delete of a missing or replaced object into ErrGone. The only
// precondition that is ever sent is the UID, so a conflict means another one.
func asDeleted(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return fmt.Errorf("%w (%w)", ErrGone, err)
	}
	return err
}
