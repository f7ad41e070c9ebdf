package e2e

import (
	"context"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// pool makes nodes on which only the pods of this test run, and the template of such pods.
func (c *cluster) pool(t *testing.T, name string, nodes int) corev1.PodTemplateSpec {
	t.Helper()
	labels := map[string]string{"pool": name}
	for range nodes {
		if _, err := c.AddNode(t.Context(), sandbox.NodeSpec{Name: unique("pool"),
			Labels: labels}); err != nil {
			t.Fatal(err)
		}
	}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{
		Labels: map[string]string{"app": name}}, Spec: podSpec("", "", "").Spec}
	template.Spec.NodeSelector = labels
	return template
}

// running waits until so many pods of a namespace run, none of them on the node that is named.
func (c *cluster) running(t *testing.T, namespace string, n int, notOn string) []corev1.Pod {
	t.Helper()
	var found []corev1.Pod
	c.eventually(t, "the pods run", func(ctx context.Context) (bool, error) {
		pods, err := c.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		found = nil
		for _, p := range pods.Items {
			if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil &&
				p.Spec.NodeName != notOn {
				found = append(found, p)
			}
		}
		return len(found) == n, nil
	})
	return found
}

// loseNodeOf removes the node that a pod runs on, for a reason.
func (c *cluster) loseNodeOf(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if err := c.StopKubelet(t.Context(), pod.Spec.NodeName); err != nil {
		t.Fatal(err)
	}
	c.annotateNode(t, pod.Spec.NodeName, diskOfNode)
	c.deleteNode(t, pod.Spec.NodeName)
	c.leaves(t, reason.Pod, pod.Namespace+"/"+pod.Name, diskOfPod)
}

func (c *cluster) exit(t *testing.T, pods []corev1.Pod) {
	t.Helper()
	for _, p := range pods {
		patch := []byte(`{"metadata":{"annotations":{"sandbox.epitaph/exit-code":"0"}}}`)
		if _, err := c.client.CoreV1().Pods(p.Namespace).Patch(t.Context(), p.Name,
			types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// completes waits until a Job is complete, and checks that no failure was counted.
func (c *cluster) completes(t *testing.T, namespace, name string) *batchv1.Job {
	t.Helper()
	var job *batchv1.Job
	c.eventually(t, "job "+name+" ends", func(ctx context.Context) (ended bool, err error) {
		job, err = c.client.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
		return err == nil && (job.Status.CompletionTime != nil || job.Status.Failed > 0), err
	})
	if job.Status.Failed != 0 {
		t.Errorf("job %s counted %d failures, want none: %+v", name, job.Status.Failed,
			job.Status.Conditions)
	}
	return job
}

func TestJobsAreNotChargedForTheirNode(t *testing.T) {
	t.Parallel()
	policy := &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
		Action: batchv1.PodFailurePolicyActionIgnore,
		OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
			{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
	}}}
	tests := map[string]batchv1.JobSpec{
		"plain": {PodFailurePolicy: policy},
		"indexed": {PodFailurePolicy: policy, CompletionMode: ptr.To(batchv1.IndexedCompletion),
			Completions: ptr.To(int32(2)), Parallelism: ptr.To(int32(2))},
		"documented": jobOfThePage(t),
	}
	for name, spec := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := shared.namespace(t)
			if name == "documented" { // It runs as it stands there, on our nodes.
				on := shared.pool(t, ns, 2).Spec
				spec.Template.Spec.NodeSelector = on.NodeSelector
				spec.Template.Spec.Tolerations = on.Tolerations
			} else {
				spec.Template = shared.pool(t, ns, 2)
				spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
			}
			spec.BackoffLimit = ptr.To(int32(0))
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
			if _, err := shared.client.BatchV1().Jobs(ns).Create(t.Context(), job,
				metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			want := int(ptr.Deref(spec.Parallelism, 1))
			first := shared.running(t, ns, want, "")
			shared.loseNodeOf(t, &first[0])
			shared.exit(t, shared.running(t, ns, want, first[0].Spec.NodeName))
			done := shared.completes(t, ns, name)
			if name == "indexed" && done.Status.CompletedIndexes != "0,1" {
				t.Errorf("indexes %q completed, want 0,1", done.Status.CompletedIndexes)
			}
		})
	}
}

func TestStatefulSetRecovers(t *testing.T) {
	t.Parallel()
	ns := shared.namespace(t)
	template := shared.pool(t, ns, 2)
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To(int32(1)),
			Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template,
		},
	}
	if _, err := shared.client.AppsV1().StatefulSets(ns).Create(t.Context(), set,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	first := shared.running(t, ns, 1, "")[0]
	shared.loseNodeOf(t, &first)
	second := shared.running(t, ns, 1, first.Spec.NodeName)[0]
	if second.Name != "db-0" || second.UID == first.UID {
		t.Errorf("pod %s (%s) took the place of db-0 (%s)", second.Name, second.UID, first.UID)
	}
	if keys.Pod.Has(second.Annotations) {
		t.Errorf("the new pod of that name carries the reason of the old one: %q",
			second.Annotations)
	}
}
