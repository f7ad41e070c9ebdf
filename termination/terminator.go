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
	// ErrGone says that the object no longer exists: not at all, or only as another object of the
	// same name.
	ErrGone = errors.New("the object is gone")
	// ErrVanishing says that it is too late to write a reason on the pod: its deletion timestamp is
	// set, its grace period is 0 and no finalizer holds it. The API server treats any update of
	// such a pod as its deletion, which answers 200 and loses the text (k8s.io/apiserver v0.37
	// pkg/registry/generic/registry/store.go, deleteWithoutFinalizers).
	ErrVanishing = errors.New("any write would delete the object")
)

// A Terminator writes reasons and terminates pods and nodes. It is safe for concurrent use.
type Terminator struct {
	client client.Client
	keys   reason.KeySet
	clock  clock.PassiveClock
	tell   func(Refusal)
	judge  func(*corev1.Pod, reason.Reason) string
}

// New returns a Terminator that writes through c under the given annotation keys.
func New(c client.Client, keys reason.KeySet, clk clock.PassiveClock,
	options ...Option) *Terminator {
	t := &Terminator{client: c, keys: keys, clock: clk, tell: func(Refusal) {}}
	for _, set := range options {
		set(t)
	}
	return t
}

// annotate patches annotations of the object (nil removes one) through its status subresource,
// which accepts them and needs no right to write specs. If version is not empty, the object must
// still have that resource version.
func (t *Terminator) annotate(ctx context.Context, obj client.Object, annotations map[string]any,
	version string) error {
	target := &metav1.PartialObjectMetadata{}
	subject, err := identify(obj, target)
	if err != nil {
		return err
	}
	metadata := map[string]any{"uid": obj.GetUID(), "annotations": annotations}
	if version != "" {
		metadata["resourceVersion"] = version
	}
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("encode the annotations of %s %s: %w", subject,
			client.ObjectKeyFromObject(obj), err)
	}
	if err := t.client.Status().Patch(ctx, target,
		client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("annotate %s %s: %w", subject, client.ObjectKeyFromObject(obj),
			asGone(err))
	}
	return nil
}

// values turns annotations into those of a patch, in which a value can also be nil.
func values(annotations map[string]string) map[string]any {
	all := make(map[string]any, len(annotations)+1)
	for key, value := range annotations {
		all[key] = value
	}
	return all
}

// Delete deletes exactly this object, not another of the same name.
func (t *Terminator) Delete(ctx context.Context, obj client.Object,
	opts ...client.DeleteOption) error {
	target := &metav1.PartialObjectMetadata{}
	subject, err := identify(obj, target)
	if err != nil {
		return err
	}
	uid := obj.GetUID()
	err = t.client.Delete(ctx, target, append(opts, client.Preconditions{UID: &uid})...)
	if err != nil {
		return fmt.Errorf("delete %s %s: %w", subject, client.ObjectKeyFromObject(obj),
			asDeleted(err))
	}
	return nil
}

// identify makes target name the object, and returns its kind. An object without a UID is a
// programming error.
func identify(obj client.Object, target *metav1.PartialObjectMetadata) (reason.Subject, error) {
	subject, err := subjectOf(obj)
	if err != nil {
		return 0, err
	}
	if obj.GetUID() == "" {
		return 0, fmt.Errorf("cannot write to %s %s without its UID", subject,
			client.ObjectKeyFromObject(obj))
	}
	kind := "Pod"
	if subject == reason.Node {
		kind = "Node"
	}
	target.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	target.Name, target.Namespace = obj.GetName(), obj.GetNamespace()
	return subject, nil
}

func subjectOf(obj client.Object) (reason.Subject, error) {
	switch o := obj.(type) {
	case *corev1.Pod:
		return reason.Pod, nil
	case *corev1.Node:
		return reason.Node, nil
	default:
		return 0, fmt.Errorf("cannot terminate a %T: only pods and nodes", o)
	}
}

// asGone turns the API server's answer to a patch of a missing or replaced object into ErrGone:
// 404, or 422 with metadata.uid as the immutable field if the UID differs.
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

// asDeleted turns the API server's answer to a DELETE of a missing or replaced object into ErrGone.
// Delete sends the UID as its only precondition, so a conflict means that the UID differs.
func asDeleted(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return fmt.Errorf("%w (%w)", ErrGone, err)
	}
	return err
}
