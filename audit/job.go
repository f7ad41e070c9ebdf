package audit

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// SettledByJob completes the reason of a pod by what its Job says now. It returns the reason itself
// if the Job has no part in it, or says nothing. Live reads from the API server itself: Jobs are
// not cached.
func SettledByJob(
	ctx context.Context, live client.Reader, r reason.Reason, pod *corev1.Pod, now time.Time,
) (reason.Reason, error) {
	name, is := reason.Settles(r, pod)
	if !is {
		return r, nil
	}
	job := &batchv1.Job{}
	key := types.NamespacedName{Namespace: pod.Namespace, Name: name}
	switch err := live.Get(ctx, key, job); {
	// without the right to read Jobs, the reason stays as it is
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return r, nil
	case err != nil:
		return r, fmt.Errorf("read the Job of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return reason.Settle(r, pod, reason.OwnerJob(job, now)), nil
}
