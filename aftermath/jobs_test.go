package aftermath

import (
	"context"
	"errors"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// A workplace has a pod and its Job, and takes corrections.
type workplace struct {
	pod       *corev1.Pod
	job       *batchv1.Job
	notOurs   bool
	refuses   error
	corrected []reason.Reason
}

func (w *workplace) Get(_ context.Context, _ client.ObjectKey, o client.Object,
	_ ...client.GetOption) error {
	switch o := o.(type) {
	case *corev1.Pod:
		w.pod.DeepCopyInto(o)
	case *batchv1.Job:
		if w.job == nil {
			return apierrors.NewNotFound(batchv1.Resource("jobs"), "work")
		}
		w.job.DeepCopyInto(o)
	}
	return nil
}

func (*workplace) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("nothing is listed")
}

func (w *workplace) Wrote(client.Object) bool { return !w.notOurs }

func (w *workplace) Correct(_ context.Context, _ client.Object, r reason.Reason) error {
	w.corrected = append(w.corrected, r)
	return w.refuses
}

func TestJobEnds(t *testing.T) {
	t.Parallel()
	const controller = "system:serviceaccount:kube-system:job-controller"
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	keys := reason.DefaultKeys()
	job := func(conditions ...batchv1.JobCondition) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "work", UID: "j1"},
			Status: batchv1.JobStatus{Conditions: conditions}}
	}
	failed := job(batchv1.JobCondition{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue,
		Reason: "BackoffLimitExceeded"})
	// toldAgo returns a pod that its Job has deleted, with 30 s of grace.
	toldAgo := func(ago time.Duration, code reason.Code) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "batch", Name: "work-1", UID: "p1",
			Annotations: keys.Pod.Annotations(
				reason.New(reason.Pod, code, "Job work", controller)),
			DeletionTimestamp:          ptr.To(metav1.NewTime(now.Add(30*time.Second - ago))),
			DeletionGracePeriodSeconds: ptr.To(int64(30)),
			OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "batch/v1", Kind: "Job", Name: "work", UID: "j1",
					Controller: ptr.To(true)}},
		}}
	}
	lives := toldAgo(0, reason.RemovedByOwner)
	lives.DeletionTimestamp = nil
	tests := map[string]struct {
		workplace
		wait    time.Duration
		correct reason.Code
	}{
		"the Job says nothing yet": {workplace{pod: toldAgo(0, reason.RemovedByOwner),
			job: job()}, firstJobLook, ""},
		"nor some time later": {workplace{
			pod: toldAgo(3*time.Second, reason.RemovedByOwner), job: job()}, 3 * time.Second, ""},
		"nor long after": {workplace{
			pod: toldAgo(time.Hour, reason.RemovedByOwner), job: job()}, lastJobLook, ""},
		"the Job is gone": {workplace{pod: toldAgo(0, reason.RemovedByOwner)},
			firstJobLook, ""},
		"the Job has failed": {workplace{pod: toldAgo(0, reason.RemovedByOwner),
			job: failed}, 0, reason.JobFailed},
		"the pod has changed": {workplace{pod: toldAgo(0, reason.RemovedByOwner),
			job: failed, refuses: termination.ErrChanged}, firstJobLook, reason.JobFailed},
		"the pod is vanishing": {workplace{pod: toldAgo(0, reason.RemovedByOwner),
			job: failed, refuses: termination.ErrVanishing}, 0, reason.JobFailed},
		"the pod has another reason": {workplace{pod: toldAgo(0, reason.ScaledDown),
			job: failed}, 0, ""},
		"the reason is somebody else's": {workplace{pod: toldAgo(0, reason.RemovedByOwner),
			job: failed, notOurs: true}, 0, ""},
		"the deletion has not come about": {workplace{pod: lives, job: failed}, 0, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := tt.workplace
			j := &JobEnds{Keys: keys, Live: &w, Terminator: &w,
				Clock: testingclock.NewFakePassiveClock(now)}
			got, err := j.Reconcile(t.Context(),
				reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "batch",
					Name: "work-1"}})
			if err != nil || got.RequeueAfter != tt.wait {
				t.Errorf("it comes back after %s (%v), want %s", got.RequeueAfter, err, tt.wait)
			}
			var code reason.Code
			for _, r := range w.corrected {
				code = r.Code
			}
			if code != tt.correct || len(w.corrected) > 1 {
				t.Errorf("corrected to %+v, want %q", w.corrected, tt.correct)
			}
		})
	}
}
