package aftermath

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

const (
	// firstJobLook and lastJobLook bound the time between two looks at the Job of a pod, which is
	// as long as the pod has been terminating. A Job says how it ended a moment after it has
	// deleted its pods.
	firstJobLook = 200 * time.Millisecond
	lastJobLook  = 10 * time.Second
	// jobLooks is how many pods are examined at the same time: a Job deletes all of its pods at
	// once.
	jobLooks = 8
)

// A Corrector corrects the reason of a deletion under way. It is *termination.Terminator.
type Corrector interface {
	Wrote(obj client.Object) bool
	Correct(ctx context.Context, obj client.Object, r reason.Reason) error
}

// JobEnds completes the reason of pods that a Job has deleted once the Job says how it ended, which
// is after the deletion and before the pods are gone ([reason.Settles]). It reconciles Pods; all
// its state is on them.
type JobEnds struct {
	Keys reason.KeySet
	// Live reads from the API server: Jobs are not cached, and a write is bound to what was read.
	Live       client.Reader
	Terminator Corrector
	Clock      clock.PassiveClock
	Log        logr.Logger
}

// Options returns those of the controller, which runs on the leader.
func (*JobEnds) Options() controller.Options {
	return controller.Options{MaxConcurrentReconciles: jobLooks}
}

// Concerns reports whether the pod is terminating with a reason of ours that its Job may complete.
func (j *JobEnds) Concerns(o client.Object) bool {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return false
	}
	_, is := j.open(pod)
	return is
}

func (j *JobEnds) open(pod *corev1.Pod) (r reason.Reason, is bool) {
	if pod.DeletionTimestamp == nil || !j.Terminator.Wrote(pod) {
		return r, false
	}
	r, err := j.Keys.Pod.OnPod(pod)
	if err != nil {
		return r, false
	}
	_, is = reason.Settles(r, pod)
	return r, is
}

// Reconcile looks at the pod's Job, and repeats that until the Job says how it ended.
func (j *JobEnds) Reconcile(ctx context.Context,
	request reconcile.Request) (reconcile.Result, error) {
	pod := &corev1.Pod{}
	if err := j.Live.Get(ctx, request.NamespacedName, pod); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	r, open := j.open(pod)
	if !open {
		return reconcile.Result{}, nil
	}
	settled, err := audit.SettledByJob(ctx, j.Live, r, pod, j.Clock.Now())
	if err != nil {
		return reconcile.Result{}, err
	}
	if settled == r {
		told := ptr.Deref(obituary.DeletionRequested(pod), *pod.DeletionTimestamp)
		return reconcile.Result{RequeueAfter: min(max(j.Clock.Since(told.Time), firstJobLook),
			lastJobLook)}, nil
	}
	err = j.Terminator.Correct(ctx, pod, settled)
	switch {
	case err == nil:
		j.Log.Info("reason completed by its Job", "namespace", pod.Namespace, "pod", pod.Name,
			"code", string(settled.Code))
	case errors.Is(err, termination.ErrGone), errors.Is(err, termination.ErrVanishing),
		errors.Is(err, termination.ErrUnwritable):
		return reconcile.Result{}, nil // the pod's record is completed
	case errors.Is(err, termination.ErrChanged):
		return reconcile.Result{RequeueAfter: firstJobLook}, nil
	}
	return reconcile.Result{}, err
}
