package kubelet

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// tell writes the pod's status, if it is news.
func (w *worker) tell(ctx context.Context, pod *corev1.Pod, s state) error {
	if s == w.told {
		return nil
	}
	if err := w.patch(ctx, pod, s); err != nil {
		return err
	}
	w.told = s
	return nil
}

// finish says that the pod has ended, and takes it out of the API.
func (w *worker) finish(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if !w.told.over {
		if err := w.tell(ctx, pod, w.last(pod)); err != nil {
			return err
		}
	}
	err := w.kubelet.o.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name,
		metav1.DeleteOptions{
			GracePeriodSeconds: new(int64),
			Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
		})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete it for good: %w", err)
	}
	return nil
}

func (s state) phase() corev1.PodPhase {
	switch {
	case !s.over:
		return corev1.PodRunning
	case s.exit == 0:
		return corev1.PodSucceeded
	default:
		return corev1.PodFailed
	}
}

func (s state) container() corev1.ContainerState {
	if !s.over {
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{
			StartedAt: metav1.Now()}}
	}
	why := "Completed"
	if s.exit != 0 {
		why = "Error"
	}
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: why,
		ExitCode: s.exit, FinishedAt: metav1.Now()}}
}

func (w *worker) patch(ctx context.Context, pod *corev1.Pod, s state) error {
	container := corev1.ContainerStatus{
		Name: pod.Spec.Containers[0].Name, Image: pod.Spec.Containers[0].Image,
		Ready: s.ready, Started: &s.running, RestartCount: s.restarts, State: s.container(),
	}
	status := corev1.PodStatus{
		Phase: s.phase(), PodIP: w.address.String(),
		PodIPs:            []corev1.PodIP{{IP: w.address.String()}},
		HostIP:            w.kubelet.address.String(),
		HostIPs:           []corev1.HostIP{{IP: w.kubelet.address.String()}},
		ContainerStatuses: []corev1.ContainerStatus{container},
	}
	value := corev1.ConditionFalse
	if s.ready {
		value = corev1.ConditionTrue
	}
	for _, kind := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		status.Conditions = append(status.Conditions,
			corev1.PodCondition{Type: kind, Status: value, LastTransitionTime: metav1.Now()})
	}
	status.Conditions = append(status.Conditions,
		corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue})
	patch, err := json.Marshal(map[string]any{"status": status,
		"metadata": map[string]any{"uid": pod.UID}})
	if err != nil {
		return err
	}
	_, err = w.kubelet.o.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name,
		types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write its status: %w", err)
	}
	return nil
}
