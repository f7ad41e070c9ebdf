package bench

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// GiveOwners makes so many Jobs, and has the pods of a group of nodes belong to them in turn.
func (c *Cluster) GiveOwners(ctx context.Context, prefix string, nodes, podsEach,
	owners int) error {
	ctx, cancel := context.WithTimeout(ctx, prepare*4)
	defer cancel()
	references := make([][]byte, owners)
	group, making := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for n := range owners {
		group.Go(func() (err error) {
			references[n], err = c.addOwner(making, fmt.Sprintf("%s-owner-%d", prefix, n))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	group, giving := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for n := range nodes {
		for p := range podsEach {
			name := podName(NodeName(prefix, n), p)
			group.Go(func() error {
				// A node may have left, and its pods with it.
				_, err := c.Client.CoreV1().Pods(Namespace).Patch(giving, name,
					types.MergePatchType, references[(n*podsEach+p)%owners], metav1.PatchOptions{})
				if client.IgnoreNotFound(err) != nil {
					return fmt.Errorf("give pod %s an owner: %w", name, err)
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// addOwner makes a Job that makes no pods, and returns the patch that makes a pod its own.
func (c *Cluster) addOwner(ctx context.Context, name string) ([]byte, error) {
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{Suspend: ptr.To(true), Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever,
				Containers: []corev1.Container{{Name: "main", Image: "registry.example/work:1"}}}}},
	}
	made, err := c.Client.BatchV1().Jobs(Namespace).Create(ctx, job, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create Job %s: %w", name, err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"ownerReferences": []metav1.OwnerReference{*metav1.NewControllerRef(made,
			batchv1.SchemeGroupVersion.WithKind("Job"))}}})
	if err != nil {
		return nil, fmt.Errorf("encode the reference to Job %s: %w", name, err)
	}
	return patch, nil
}
