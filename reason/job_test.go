package reason

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestOwnerJob(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	const beyond = "DeadlineExceeded: Job was active longer than specified deadline"
	started := func(ago time.Duration) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			j.Spec.ActiveDeadlineSeconds = ptr.To(int64(60))
			j.Status.StartTime = ptr.To(metav1.NewTime(now.Add(-ago)))
		}
	}
	is := func(what batchv1.JobConditionType, status corev1.ConditionStatus) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			j.Status.Conditions = append(j.Status.Conditions,
				batchv1.JobCondition{Type: what, Status: status, Reason: "R", Message: "m"})
		}
	}
	suspended := func(j *batchv1.Job) { j.Spec.Suspend = ptr.To(true) }
	tests := map[string]struct {
		change []func(*batchv1.Job)
		want   Owner
	}{
		"goes on": {want: Owner{}},
		"has a deadline": {change: []func(*batchv1.Job){started(59 * time.Second)},
			want: Owner{}},
		"is at its deadline": {change: []func(*batchv1.Job){started(time.Minute)},
			want: Owner{Finished: true, Failed: beyond}},
		"is suspended meanwhile": {change: []func(*batchv1.Job){started(time.Hour), suspended},
			want: Owner{Suspended: true}},
		"was complete before it": {change: []func(*batchv1.Job){started(time.Hour),
			is(batchv1.JobComplete, corev1.ConditionTrue)}, want: Owner{Finished: true}},
		"is certain to be complete": {change: []func(*batchv1.Job){
			is(batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue)}, want: Owner{Finished: true}},
		"is certain to fail": {change: []func(*batchv1.Job){
			is(batchv1.JobFailureTarget, corev1.ConditionTrue)}, want: Owner{Finished: true,
			Failed: "R: m"}},
		"has failed": {change: []func(*batchv1.Job){
			is(batchv1.JobFailed, corev1.ConditionTrue)}, want: Owner{Finished: true,
			Failed: "R: m"}},
		"has not failed": {change: []func(*batchv1.Job){
			is(batchv1.JobFailed, corev1.ConditionFalse)}, want: Owner{}},
		"has too many pods": {
			change: []func(*batchv1.Job){func(j *batchv1.Job) {
				j.Spec.Parallelism,
					j.Status.Active = ptr.To(int32(1)), 2
			}},
			want: Owner{Surplus: true},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := &batchv1.Job{}
			for _, change := range tt.change {
				change(job)
			}
			if got := OwnerJob(job, now); got != tt.want {
				t.Errorf("it tells %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A reason is completed only if it is the one that was written when nothing more was known, and
// only by the pod's very own Job.
func TestSettle(t *testing.T) {
	t.Parallel()
	const controller = "system:serviceaccount:kube-system:job-controller"
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "batch/v1", Kind: "Job", Name: "work", UID: "j1", Controller: ptr.To(true)},
	}}}
	open, failed := New(Pod, RemovedByOwner, "Job work", controller),
		Owner{UID: "j1", Finished: true, Failed: "R: m"}
	tests := map[string]struct {
		said Reason
		job  Owner
		want Reason
	}{
		"it failed": {open, failed,
			New(Pod, JobFailed, "Job work, R: m", controller)},
		"it is complete": {open, Owner{UID: "j1", Finished: true},
			New(Pod, JobFinished, "Job work", controller)},
		"it goes on":             {open, Owner{UID: "j1"}, open},
		"it was suspended since": {open, Owner{UID: "j1", Suspended: true}, open},
		"a namesake failed":      {open, Owner{UID: "j2", Finished: true, Failed: "R: m"}, open},
		"something else was said": {New(Pod, ScaledDown, "Job work", controller), failed,
			New(Pod, ScaledDown, "Job work", controller)},
		"somebody said it": {Reason{RemovedByOwner, "as I like", "alice", false}, failed,
			Reason{RemovedByOwner, "as I like", "alice", false}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Settle(tt.said, pod, tt.job); got != tt.want {
				t.Errorf("it comes to %+v, want %+v", got, tt.want)
			}
		})
	}
}
