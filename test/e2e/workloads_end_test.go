package e2e

import (
	"context"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A CronJob that keeps no finished Jobs removes one, and the garbage collector then its pods.
func TestCronJobRemovesAFinishedJob(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	jobs := batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template(ns, node)}}
	jobs.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	cron, err := shared.client.BatchV1().CronJobs(ns).Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly"},
		Spec: batchv1.CronJobSpec{
			Schedule: "0 0 1 1 *", Suspend: ptr.To(true), JobTemplate: jobs,
			SuccessfulJobsHistoryLimit: ptr.To(int32(0)), FailedJobsHistoryLimit: ptr.To(int32(0)),
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// as kubectl create job --from=cronjob/nightly does
	pod := shared.job(t, ns, node, func(j *batchv1.Job) {
		j.OwnerReferences = []metav1.OwnerReference{
			*metav1.NewControllerRef(cron, batchv1.SchemeGroupVersion.WithKind("CronJob"))}
	})
	shared.exit(t, []corev1.Pod{pod})
	shared.leaves(t, reason.Pod, ns+"/"+pod.Name, reason.Reason{
		Code: reason.AlreadyEnded, By: kubeSystem + "generic-garbage-collector",
		Text: "This pod had already ended by itself, only its object was removed (Succeeded, its owner Job work was deleted)",
	})
	shared.eventually(t, "the Job is gone", func(ctx context.Context) (bool, error) {
		_, err := shared.client.BatchV1().Jobs(ns).Get(ctx, "work", metav1.GetOptions{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

// A Job that is over, whichever way it ended, deletes the pods that still run, and says how it
// ended.
func TestJobThatIsOverEndsItsPods(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*batchv1.Job)
		// exits is the code that the first pod's program ends with, if it does.
		exits string
		want  batchv1.JobConditionType
		// failed is the condition's reason and message, where the Job fails.
		failed string
	}{
		"beyond its deadline": {
			change: func(j *batchv1.Job) { j.Spec.ActiveDeadlineSeconds = ptr.To(int64(5)) },
			want:   batchv1.JobFailed,
			failed: "DeadlineExceeded: Job was active longer than specified deadline",
		},
		"beyond its retries": {
			change: func(j *batchv1.Job) { j.Spec.BackoffLimit = ptr.To(int32(0)) },
			exits:  "1",
			want:   batchv1.JobFailed,
			failed: "BackoffLimitExceeded: Job has reached the specified backoff limit",
		},
		"complete with one of its indexes": {
			change: func(j *batchv1.Job) {
				j.Spec.CompletionMode, j.Spec.Completions = ptr.To(batchv1.IndexedCompletion),
					ptr.To(int32(2))
				j.Spec.SuccessPolicy = &batchv1.SuccessPolicy{
					Rules: []batchv1.SuccessPolicyRule{{SucceededCount: ptr.To(int32(1))}}}
			},
			exits: "0",
			want:  batchv1.JobComplete,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns, node := shared.namespace(t), shared.node(t).Name
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "work"},
				Spec: batchv1.JobSpec{Template: template(ns, node), Parallelism: ptr.To(int32(2))}}
			job.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
			tc.change(job)
			if _, err := shared.client.BatchV1().Jobs(ns).Create(t.Context(), job,
				metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			pods := shared.running(t, ns, 2, "")
			if tc.exits != "" {
				shared.exitsWith(t, ns, pods[0].Name, tc.exits)
			}
			want := reason.New(reason.Pod, reason.JobFinished,
				"Job work", kubeSystem+"job-controller")
			if tc.failed != "" {
				want = reason.New(reason.Pod, reason.JobFailed, "Job work, "+tc.failed,
					kubeSystem+"job-controller")
			}
			shared.leaves(t, reason.Pod, ns+"/"+pods[1].Name, want)
			if tc.failed != "" {
				shared.wantRecord(t, ns, pods[1].Name, want)
			}
			shared.eventually(t, "the Job is "+string(tc.want),
				func(ctx context.Context) (bool, error) {
					j, err := shared.client.BatchV1().Jobs(ns).Get(ctx, "work", metav1.GetOptions{})
					if err != nil {
						return false, err
					}
					for _, c := range j.Status.Conditions {
						if c.Type == tc.want {
							return c.Status == corev1.ConditionTrue, nil
						}
					}
					return false, nil
				})
		})
	}
}

func (c *cluster) exitsWith(t *testing.T, ns, pod, code string) {
	t.Helper()
	c.annotateAll(t, ns, pod, map[string]string{"sandbox.epitaph/exit-code": code})
}

func TestNodeIsTakenFromADaemonSet(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.patchNode(t, node,
		map[string]any{"metadata": map[string]any{"labels": map[string]string{"pool": ns}}})
	shared.daemonSet(t, ns, node,
		func(s *appsv1.DaemonSet) {
			s.Spec.Template.Spec.NodeSelector = map[string]string{"pool": ns}
		})
	pod := shared.theRunningPod(t, ns)
	shared.patchNode(t, node,
		map[string]any{"metadata": map[string]any{"labels": map[string]any{"pool": nil}}})
	shared.leaves(t, reason.Pod, ns+"/"+pod.Name, reason.Reason{
		Code: reason.ScaledDown, By: kubeSystem + "daemon-set-controller",
		Text: "This pod was removed because its owner needs fewer pods (DaemonSet agent)",
	})
	if all := shared.podsIn(t, ns); len(all) > 0 {
		t.Errorf("%d pods are there, want none: the DaemonSet has no node left", len(all))
	}
}

func TestDaemonSetIsRemoved(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.daemonSet(t, ns, node)
	pod := shared.theRunningPod(t, ns)
	background := metav1.DeletePropagationBackground
	// What a controller of the system deletes, it has not decided itself.
	if err := shared.as(t, kubeSystem+"a-controller").AppsV1().DaemonSets(ns).Delete(t.Context(),
		"agent", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/"+pod.Name, reason.Reason{
		Code: reason.OwnerDeleted, By: kubeSystem + "generic-garbage-collector",
		Text: "This pod was removed because its owner was deleted (DaemonSet agent)",
	})
}

func (c *cluster) daemonSet(t *testing.T, ns, node string, change ...func(*appsv1.DaemonSet)) {
	t.Helper()
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent"},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: web}, Template: template(ns, node),
		}}
	for _, f := range change {
		f(set)
	}
	if _, err := c.client.AppsV1().DaemonSets(ns).Create(t.Context(), set,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestStatefulSetScalesDown(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	sets := shared.client.AppsV1().StatefulSets(ns)
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: web},
			Template: template(ns, node),
		}}
	if _, err := sets.Create(t.Context(), set, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.running(t, ns, 3, "")
	if _, err := shared.as(t, runner).AppsV1().StatefulSets(ns).Patch(t.Context(), "db",
		types.MergePatchType, []byte(`{"spec":{"replicas":1}}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db-2", "db-1"} {
		shared.leaves(t, reason.Pod, ns+"/"+name, reason.Reason{
			Code: reason.ScaledDown, By: kubeSystem + "statefulset-controller",
			Text: "This pod was removed because its owner needs fewer pods (StatefulSet db)",
		})
	}
	if p := shared.alive(t, ns, "db-0"); keys.Pod.Has(p.Annotations) {
		t.Errorf("the pod that stays carries %q", p.Annotations)
	}
}

// A Job that is told to run fewer pods at a time goes on.
func TestJobNeedsFewerPods(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "work"},
		Spec: batchv1.JobSpec{Template: template(ns, node), Parallelism: ptr.To(int32(2)),
			Completions: ptr.To(int32(2))}}
	job.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	if _, err := shared.client.BatchV1().Jobs(ns).Create(t.Context(), job,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pods := shared.running(t, ns, 2, "")
	if _, err := shared.as(t, runner).BatchV1().Jobs(ns).Patch(t.Context(), "work",
		types.MergePatchType, []byte(`{"spec":{"parallelism":1}}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	left := shared.running(t, ns, 1, "")[0]
	gone := pods[0]
	if gone.Name == left.Name {
		gone = pods[1]
	}
	shared.leaves(t, reason.Pod, ns+"/"+gone.Name, reason.Reason{
		Code: reason.ScaledDown, By: kubeSystem + "job-controller",
		Text: "This pod was removed because its owner needs fewer pods (Job work)",
	})
}
