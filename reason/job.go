package reason

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OwnerJob returns what a Job says of why its pods go.
func OwnerJob(job *batchv1.Job, now time.Time) Owner {
	o := Owner{
		UID:       job.UID,
		Deleted:   job.DeletionTimestamp != nil,
		Suspended: job.Spec.Suspend != nil && *job.Spec.Suspend,
		Surplus:   job.Spec.Parallelism != nil && job.Status.Active > *job.Spec.Parallelism,
	}
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobSuccessCriteriaMet:
			o.Finished = true
		case batchv1.JobFailed, batchv1.JobFailureTarget:
			o.Finished, o.Failed = true, joined(c.Reason, c.Message)
		case batchv1.JobSuspended:
		}
	}
	if !o.Finished && !o.Suspended && beyondDeadline(job, now) {
		o.Finished, o.Failed = true, joined(batchv1.JobReasonDeadlineExceeded,
			"Job was active longer than specified deadline")
	}
	return o
}

// beyondDeadline reports whether the Job controller fails the Job for its deadline (K8s v1.37
// pkg/controller/job/job_controller.go, pastActiveDeadline). It deletes the pods before its
// condition says so.
func beyondDeadline(job *batchv1.Job, now time.Time) bool {
	deadline, start := job.Spec.ActiveDeadlineSeconds, job.Status.StartTime
	return deadline != nil && start != nil &&
		now.Sub(start.Time) >= time.Duration(*deadline)*time.Second
}

// Settles reports whether r may say more once the Job of the pod says how it ended: the Job
// controller deletes the pods of a finished Job before it writes that down (K8s v1.37
// pkg/controller/job/job_controller.go, syncJob), and keeps them by a finalizer until it has.
func Settles(r Reason, pod *corev1.Pod) (job string, is bool) {
	o := metav1.GetControllerOfNoCopy(pod)
	if r.Code != RemovedByOwner || o == nil || KindIn(o.APIVersion, o.Kind) != JobKind {
		return "", false
	}
	owner, ours := podSentences[RemovedByOwner].detail(r.Text)
	return o.Name, ours && owner == inference{Facts: Facts{Pod: pod}}.owner()
}

// Settle completes r by what the pod's Job says now; it returns r itself if the Job does not say
// more.
func Settle(r Reason, pod *corev1.Pod, job Owner) Reason {
	if _, is := Settles(r, pod); !is || !job.Finished {
		return r
	}
	n := inference{Facts: Facts{Pod: pod, Owner: job, Remover: Remover{User: r.By}}}
	if _, known := n.knownOwner(); !known {
		return r
	}
	settled, _ := n.byJob()
	return settled
}
