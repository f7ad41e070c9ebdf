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

// announce says what was recorded: on the pod, by its UID, and on its owner and its node, where
// those of one kind make up a series. Events are a convenience: in a burst some are dropped.
func (r *Recorder) announce(ctx context.Context, pod *corev1.Pod, o *v1alpha1.PodObituary,
	from source) {
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
	for _, about := range r.concerned(pod) {
		r.Events.Eventf(about, nil, kind, what, "RecordObituary", "%s", note)
	}
	if node, err := r.node(ctx, pod.Spec.NodeName); err == nil && node != nil {
		about := &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node.Name,
			UID: node.UID}
		r.Events.Eventf(about, nil, kind, what, "RecordObituary", "%s", noteOnNode(o))
	}
}

// noteOnNode is what the Event on a node says of a pod that left. Events of objects without a
// namespace lie in the namespace default, where others than the pod's tenants read: neither the
// pod's name nor anybody's words are for them.
func noteOnNode(o *v1alpha1.PodObituary) string {
	code := "a code of another tool"
	if reason.Code(o.Spec.Code).Known() {
		code = o.Spec.Code
	}
	return "A pod of this node left: " + code + " (" + o.Spec.Class + ")"
}

// concerned are the pod and its owner. A node that owns its static pods is none: it is told as
// their node.
func (r *Recorder) concerned(pod *corev1.Pod) []*corev1.ObjectReference {
	all := []*corev1.ObjectReference{{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace,
		Name: pod.Name, UID: pod.UID}}
	if ref := metav1.GetControllerOf(pod); ref != nil && ref.Kind != "Node" {
		owner := obituary.OwnerOf(ref)
		all = append(all, &corev1.ObjectReference{
			APIVersion: reason.CleanTo(ref.APIVersion, obituary.MaxNameBytes), Kind: owner.Kind,
			Namespace: pod.Namespace, Name: owner.Name, UID: owner.UID,
		})
	}
	return all
}
