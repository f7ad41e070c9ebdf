package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/bench"
)

// requests is how many requests of the benchmark are in flight.
const requests = 32

// image is what the pods run.
const image = "registry.example/work:1"

// create makes the pods of a Job: each with a container that runs and asks for GPUs, with labels
// that are recorded, and with the reason that it will leave with.
func create(ctx context.Context, c *bench.Cluster, pods int) error {
	spec := corev1.PodSpec{
		AutomountServiceAccountToken: ptr.To(false), RestartPolicy: corev1.RestartPolicyNever,
		SchedulerName: "nobody",
		Containers: []corev1.Container{{Name: "main", Image: image,
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{
					corev1.ResourceCPU:    resource.MustParse("8"),
					corev1.ResourceMemory: resource.MustParse("64Gi"),
				},
				Limits: corev1.ResourceList{
					corev1.ResourceMemory: resource.MustParse("64Gi"),
					"nvidia.com/gpu":      resource.MustParse("8"),
				}}}},
	}
	job, err := c.Client.BatchV1().Jobs(bench.Namespace).Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "train"},
		Spec:       batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: spec}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create the job: %w", err)
	}
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{"team": "vision", batchv1.JobNameLabel: "train"},
			Annotations: reason.DefaultKeys().Pod.Annotations(
				reason.New(reason.Pod, reason.HardwareFailure, "disk sda", "bench")),
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
		},
		Spec: spec,
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(requests)
	for n := range pods {
		group.Go(func() error { return createOne(ctx, c, pod, n) })
	}
	return group.Wait()
}

func name(n int) string { return fmt.Sprintf("train-%d", n) }

func createOne(ctx context.Context, c *bench.Cluster, pod corev1.Pod, n int) error {
	pod.Name = name(n)
	if _, err := c.Client.CoreV1().Pods(bench.Namespace).Create(ctx, &pod,
		metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create pod %s: %w", pod.Name, err)
	}
	status, err := json.Marshal(map[string]any{"status": corev1.PodStatus{
		Phase: corev1.PodRunning,
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "main", Image: image,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{
				StartedAt: metav1.Now()}},
		}},
	}})
	if err != nil {
		return fmt.Errorf("encode the status: %w", err)
	}
	_, err = c.Client.CoreV1().Pods(bench.Namespace).Patch(ctx, pod.Name, types.MergePatchType,
		status, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("let pod %s run: %w", pod.Name, err)
	}
	return nil
}

// deleteAll deletes the pods at a rate, and returns how long that took.
func deleteAll(ctx context.Context, c *bench.Cluster, pods, rate int) (time.Duration, error) {
	began := time.Now()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(requests)
	for n := range pods {
		<-tick.C
		group.Go(func() error {
			err := c.Client.CoreV1().Pods(bench.Namespace).Delete(ctx, name(n),
				metav1.DeleteOptions{})
			if err != nil {
				return fmt.Errorf("delete pod %s: %w", name(n), err)
			}
			return nil
		})
	}
	err := group.Wait()
	return time.Since(began), err
}
