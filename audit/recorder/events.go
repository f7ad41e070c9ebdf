package recorder

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Reasons of the Events.
const (
	EventUnexplained = "PodUnexplained"
	EventDisrupted   = "PodDisrupted"
	EventRemoved     = "PodRemoved"
)

// announce says what was recorded: on the pod, by its UID, and on its owner and its node, where those of one kind make up a series.
// Events are a convenience: in a burst some are dropped.
func (r *Recorder) announce(ctx context.Context, pod *corev1.Pod, o *v1alpha1.PodObituary, from source) {
	if !r.Config.Events {
		return
	}
	kind, what := corev1.EventTypeNormal, EventRemoved
	switch {
	case from == none:
		kind, what = corev1.EventTypeWarning, EventUnexplained
	case o.Spec.Class == reason.Disruption.String():
		kind, what = corev1.EventTypeWarning, EventDisrupted
	}
	note := reason.CleanTo("Pod "+o.Spec.PodName+" left: "+o.Spec.Reason, audit.MaxNoteBytes)
	for _, about := range r.concerned(ctx, pod) {
		r.Events.Eventf(about, nil, kind, what, "RecordObituary", "%s", note)
	}
}

func (r *Recorder) concerned(ctx context.Context, pod *corev1.Pod) []*corev1.ObjectReference {
	all := []*corev1.ObjectReference{{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}}
	if ref := metav1.GetControllerOf(pod); ref != nil {
		owner := obituary.OwnerOf(ref)
		all = append(all, &corev1.ObjectReference{
			APIVersion: reason.CleanTo(ref.APIVersion, obituary.MaxNameBytes), Kind: owner.Kind, Namespace: pod.Namespace, Name: owner.Name, UID: owner.UID,
		})
	}
	if node, err := r.node(ctx, pod.Spec.NodeName); err == nil && node != nil {
		all = append(all, &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID})
	}
	return all
}
