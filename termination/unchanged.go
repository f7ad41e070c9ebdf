package termination

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// ErrChanged says that the object changed since it was read: read it again and decide again.
var ErrChanged = errors.New("the object changed since it was read")

// AnnotateUnchanged writes r onto the pod if nobody has changed it since it was read; otherwise the
// error is [ErrChanged]. It is for reasons that must yield to any that somebody else writes at the
// same moment.
func (t *Terminator) AnnotateUnchanged(ctx context.Context, pod *corev1.Pod,
	r reason.Reason) error {
	if reason.Vanishing(pod) {
		return ErrVanishing
	}
	err := t.annotateUnchanged(ctx, pod, values(t.keys.Pod.Annotations(r)))
	_, err = t.holdInstead(ctx, pod, r, pod.ResourceVersion, asUnwritable(err))
	return asChanged(err)
}

// annotateUnchanged patches annotations (nil removes one), provided that nobody has written to the
// object since it was read.
func (t *Terminator) annotateUnchanged(ctx context.Context, obj client.Object,
	annotations map[string]any) error {
	err := t.annotate(ctx, obj, annotations, obj.GetResourceVersion())
	return asChanged(err)
}

// asChanged turns a resource version conflict into ErrChanged. A different UID has been recognised
// before.
func asChanged(err error) error {
	if apierrors.IsConflict(err) {
		return fmt.Errorf("%w (%w)", ErrChanged, err)
	}
	return err
}
