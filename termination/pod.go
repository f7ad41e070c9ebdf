package termination

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// TerminatePod fails the pod with reason r and then deletes it without grace. It is for pods whose
// node cannot end them any more. The Job controller counts the pod by the phase that this writes. A
// pod that a finalizer holds stays, Failed and with its reason, until the finalizer is removed.
//
// A pod that cannot be written at all is deleted all the same: it must not stay for ever because
// its annotations are full or a policy protects it. The reason then goes to the function that was
// given to [Telling].
//
// If somebody writes to the pod between the two steps, both are repeated a few times before the
// conflict is returned.
func (t *Terminator) TerminatePod(ctx context.Context, pod *corev1.Pod, r reason.Reason) error {
	const attempts = 4
	var err error
	for range attempts {
		var failed string
		failed, err = t.failPod(ctx, pod, r)
		switch {
		case errors.Is(err, ErrVanishing), errors.Is(err, ErrUnwritable):
			// Its deletion is all that is left to do, or all that can be done.
			return t.Delete(ctx, pod, client.GracePeriodSeconds(0))
		case err != nil:
			return err
		}
		if err = t.deleteFailed(ctx, pod, failed); !apierrors.IsConflict(err) {
			return err
		}
	}
	return err
}

// deleteFailed deletes the pod as the patch left it. The resource version in the precondition makes
// the API server use that state: otherwise it asks admission about the state in its watch cache,
// which may precede the patch, and the webhooks see a pod without a reason (k8s.io/apiserver v0.37
// pkg/storage/etcd3/store.go, conditionalDelete: stale data is read again when a precondition fails
// on it, before admission) [seen: one pod in six, when the API server is busy].
func (t *Terminator) deleteFailed(ctx context.Context, pod *corev1.Pod,
	resourceVersion string) error {
	target := &metav1.PartialObjectMetadata{}
	if _, err := identify(pod, target); err != nil {
		return err
	}
	uid := pod.UID
	err := t.client.Delete(ctx, target, client.GracePeriodSeconds(0),
		client.Preconditions{UID: &uid, ResourceVersion: &resourceVersion})
	if apierrors.IsNotFound(err) {
		err = fmt.Errorf("%w (%w)", ErrGone, err)
	}
	if err != nil {
		return fmt.Errorf("delete pod %s: %w", client.ObjectKeyFromObject(pod), err)
	}
	return nil
}
