package recorder

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// maxMessageBytes is how much is kept of a message or an annotation: a longer one is not understood
// anyway.
const maxMessageBytes = 2 * reason.MaxTextBytes

// trim keeps the parts of a pod that its obituary is made of. A pod may have 256 KiB of
// annotations, and a thousand pods may wait. It copies instead of clearing: a cleared field would
// keep the memory of the whole object that it was decoded with.
func trim(p *corev1.Pod, reads reason.Reads, labels map[string]bool) *corev1.Pod {
	t := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID,
			CreationTimestamp:          p.CreationTimestamp,
			DeletionTimestamp:          p.DeletionTimestamp,
			DeletionGracePeriodSeconds: p.DeletionGracePeriodSeconds,
			Labels: only(p.Labels, func(key string) bool {
				return labels[key] || reads.Label(key)
			}),
			Annotations: only(p.Annotations, reads.Annotation),
		},
		Spec: corev1.PodSpec{NodeName: p.Spec.NodeName, Priority: p.Spec.Priority,
			Tolerations: reason.Lasting(p.Spec.Tolerations), Resources: p.Spec.Resources,
			Overhead:       p.Spec.Overhead,
			InitContainers: resourcesOf(p.Spec.InitContainers),
			Containers:     resourcesOf(p.Spec.Containers)},
		Status: corev1.PodStatus{
			Phase: p.Status.Phase, Reason: p.Status.Reason, Message: short(p.Status.Message),
			StartTime:             p.Status.StartTime,
			InitContainerStatuses: states(p.Status.InitContainerStatuses),
			ContainerStatuses:     states(p.Status.ContainerStatuses),
		},
	}
	if obituary.RefusedAtOnce(p) {
		t.ManagedFields = when(p.ManagedFields)
	}
	if owner := metav1.GetControllerOf(p); owner != nil {
		t.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	for _, c := range p.Status.Conditions {
		if reads.Condition(&c) {
			c.Message = short(c.Message)
			t.Status.Conditions = append(t.Status.Conditions, c)
		}
	}
	return t
}

// when keeps who wrote to the pod and when, but not what.
func when(all []metav1.ManagedFieldsEntry) (times []metav1.ManagedFieldsEntry) {
	for _, f := range all {
		f.FieldsV1 = nil
		times = append(times, f)
	}
	return times
}

func only(all map[string]string, kept func(key string) bool) map[string]string {
	some := map[string]string{}
	for k, v := range all {
		if kept(k) {
			some[k] = short(v)
		}
	}
	return some
}

// resourcesOf keeps what the containers ask for.
func resourcesOf(all []corev1.Container) (kept []corev1.Container) {
	for _, c := range all {
		kept = append(kept, corev1.Container{RestartPolicy: c.RestartPolicy,
			Resources: corev1.ResourceRequirements{Requests: c.Resources.Requests,
				Limits: c.Resources.Limits}})
	}
	return kept
}

func states(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	kept := make([]corev1.ContainerStatus, 0, len(all))
	for _, s := range all {
		k := corev1.ContainerStatus{
			Name: s.Name, RestartCount: s.RestartCount, State: s.State,
			Image:                    shortTo(s.Image, 2*obituary.MaxImageBytes),
			LastTerminationState:     s.LastTerminationState,
			AllocatedResourcesStatus: reason.Ill(s.AllocatedResourcesStatus),
		}
		for _, t := range []**corev1.ContainerStateTerminated{&k.State.Terminated,
			&k.LastTerminationState.Terminated} {
			if *t != nil {
				c := **t
				c.Message = obituary.Tail(c.Message, obituary.MaxMessageBytes)
				*t = &c
			}
		}
		kept = append(kept, k)
	}
	return kept
}

// short cuts what is too long to be understood anyway: a reason of that length is refused as one.
func short(s string) string { return shortTo(s, maxMessageBytes) }

func shortTo(s string, maxBytes int) string {
	if len(s) <= maxBytes {
		return s
	}
	return string([]byte(s[:maxBytes])) // a copy, so that the rest is not kept
}
