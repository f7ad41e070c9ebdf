package termination

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// AnnotateUnchanged writes r onto the pod if nobody has changed it since it was read; otherwise the API server answers 409 and
// the error says so. It is for reasons that must give way to any that somebody else is writing at the same moment.
func (t *Terminator) AnnotateUnchanged(ctx context.Context, pod *corev1.Pod, r reason.Reason) error {
	if vanishing(pod) {
		return ErrVanishing
	}
	target := &metav1.PartialObjectMetadata{}
	if _, err := identify(pod, target); err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pod.UID, "resourceVersion": pod.ResourceVersion, "annotations": t.keys.Pod.Annotations(r),
	}})
	if err != nil {
		return fmt.Errorf("encode the reason of pod %s: %w", client.ObjectKeyFromObject(pod), err)
	}
	if err := t.client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("annotate pod %s as it was read: %w", client.ObjectKeyFromObject(pod), asGone(err))
	}
	return nil
}
