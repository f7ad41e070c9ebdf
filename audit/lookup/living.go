package lookup

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Living returns what the record of a pod would be if it left now.
func Living(pod *corev1.Pod, keys reason.Keys) *v1alpha1.PodObituary {
	o := &v1alpha1.PodObituary{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
	r, _ := keys.Read(pod.Annotations) // without a reason, it says nothing
	o.Spec = v1alpha1.PodObituarySpec{
		PodName: pod.Name, PodUID: pod.UID, NodeName: pod.Spec.NodeName, Owners: controller(pod),
		Reason: string(r.Text), By: r.By, Phase: string(pod.Status.Phase), Created: pod.CreationTimestamp,
		Condemned: condemned(pod), Containers: containers(pod),
	}
	if !r.IsZero() {
		o.Spec.Code, o.Spec.Class = string(r.Code), r.Code.Class().String()
	}
	return o
}

func controller(pod *corev1.Pod) []v1alpha1.Owner {
	c := metav1.GetControllerOf(pod)
	if c == nil {
		return nil
	}
	return []v1alpha1.Owner{{Kind: c.Kind, Name: c.Name, UID: c.UID}}
}

// condemned is when the deletion was asked for: the deletion timestamp lies in the future by the grace period.
func condemned(pod *corev1.Pod) *metav1.Time {
	if pod.DeletionTimestamp == nil {
		return nil
	}
	t := *pod.DeletionTimestamp
	if grace := pod.DeletionGracePeriodSeconds; grace != nil {
		t = metav1.NewTime(t.Add(-time.Duration(*grace) * time.Second))
	}
	return &t
}

func containers(pod *corev1.Pod) []v1alpha1.ContainerEnd {
	var ends []v1alpha1.ContainerEnd
	for _, s := range pod.Status.InitContainerStatuses {
		ends = append(ends, end(s, true))
	}
	for _, s := range pod.Status.ContainerStatuses {
		ends = append(ends, end(s, false))
	}
	return ends
}

func end(s corev1.ContainerStatus, isInit bool) v1alpha1.ContainerEnd {
	c := v1alpha1.ContainerEnd{Name: s.Name, Init: isInit, Restarts: s.RestartCount, State: v1alpha1.NeverStarted}
	last := s.State.Terminated
	if last == nil && s.State.Running == nil {
		last = s.LastTerminationState.Terminated
	}
	switch {
	case s.State.Running != nil:
		c.State, c.Started = v1alpha1.Running, &s.State.Running.StartedAt
	case last != nil:
		c.State, c.ExitCode, c.Why = v1alpha1.Exited, &last.ExitCode, last.Reason
		c.Started, c.Finished = &last.StartedAt, &last.FinishedAt
	case s.State.Waiting != nil:
		c.Why = s.State.Waiting.Reason
	}
	return c
}
