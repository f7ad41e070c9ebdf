package recorder

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
)

// ownersTimeout bounds the look-up of one pod's owners: a record is not held up for it.
const ownersTimeout = 2 * time.Second

// ownersOf returns the controllers above a pod, from the nearest up to the topmost.
func (r *Recorder) ownersOf(ctx context.Context, pod *corev1.Pod) (all []v1alpha1.Owner) {
	ctx, cancel := context.WithTimeout(ctx, ownersTimeout)
	defer cancel()
	for _, o := range r.owners.Above(ctx, pod) {
		all = append(all, obituary.OwnerOf(&o.Ref))
	}
	return all[:min(len(all), obituary.MaxOwners)]
}
