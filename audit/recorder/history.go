package recorder

import (
	"context"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A span is a stretch of the cluster's history. A missed pod was there at its beginning, and was
// not at its end.
type span struct{ from, to string }

// lastState looks up the last state of a missed pod: reason and final status are written shortly
// before the end. A pod of one UID exists up to some revision and never after, so a binary search
// finds that revision in some twenty small reads. If history ends meanwhile, it returns what it has
// found so far.
func (r *Recorder) lastState(ctx context.Context, pod *corev1.Pod, within span) *corev1.Pod {
	there, err := strconv.ParseUint(within.from, 10, 64)
	if err != nil {
		return pod
	}
	gone, err := strconv.ParseUint(within.to, 10, 64)
	if err != nil {
		return pod
	}
	for gone-there > 1 && gone > there {
		middle := there + (gone-there)/2
		state, err := r.stateAt(ctx, pod, strconv.FormatUint(middle, 10))
		switch {
		case err != nil:
			r.Log.Error(err, "last state not found, an earlier one is used", "namespace",
				pod.Namespace, "pod", pod.Name)
			return pod
		case state == nil:
			gone = middle
		default:
			pod, there = trim(state, r.reads, r.labels), middle
		}
	}
	return pod
}

// stateAt returns the pod as it was at a revision, or nil if it was not there.
func (r *Recorder) stateAt(ctx context.Context, pod *corev1.Pod,
	revision string) (*corev1.Pod, error) {
	found := &corev1.PodList{}
	err := r.API.List(ctx, found, client.InNamespace(pod.Namespace), &client.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", pod.Name), Limit: 1,
		Raw: exactly(revision),
	})
	if err != nil {
		return nil, fmt.Errorf("read pod %s/%s of revision %s: %w", pod.Namespace, pod.Name,
			revision, err)
	}
	if len(found.Items) == 0 || found.Items[0].UID != pod.UID {
		return nil, nil
	}
	return &found.Items[0], nil
}
