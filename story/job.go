package story

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// jobState is the state of a Job.
type jobState uint8

const (
	jobUnknown jobState = iota
	jobGone
	jobComplete
	jobFailed
	jobSuspended
	// jobWaiting: it is not over, but starts no more pods.
	jobWaiting
	jobGoing
)

func (f Facts) jobState() jobState {
	if j := f.job(); j != nil {
		return stateOf(j)
	}
	// A Job of another UID has taken the name of one that is gone.
	if _, ok := f.ownJob(); ok && (f.JobGone || f.Job != nil) {
		return jobGone
	}
	return jobUnknown
}

func stateOf(j *batchv1.Job) jobState {
	switch {
	case is(j, batchv1.JobComplete), is(j, batchv1.JobSuccessCriteriaMet):
		return jobComplete
	case is(j, batchv1.JobFailed), is(j, batchv1.JobFailureTarget):
		return jobFailed
	case j.DeletionTimestamp != nil:
		return jobGone
	case j.Spec.Suspend != nil && *j.Spec.Suspend:
		return jobSuspended
	case j.Spec.Completions == nil && j.Status.Succeeded > 0:
		// A work queue: from the first success on, no pod is started (K8s v1.37
		// pkg/controller/job/job_controller.go, manageJob).
		return jobWaiting
	default:
		return jobGoing
	}
}

func is(j *batchv1.Job, t batchv1.JobConditionType) bool { return condition(j, t) != nil }

func condition(j *batchv1.Job, t batchv1.JobConditionType) *batchv1.JobCondition {
	for i, c := range j.Status.Conditions {
		if c.Type == t && c.Status == corev1.ConditionTrue {
			return &j.Status.Conditions[i]
		}
	}
	return nil
}

// saysState returns the sentence about a Job's state and what it will do.
func saysState(name string, s jobState, j *batchv1.Job) string {
	switch s {
	case jobComplete:
		return "Job " + name + " has completed: it starts no more pods."
	case jobFailed:
		return "Job " + name + " has failed" + failure(j) + ": it starts no more pods."
	case jobSuspended:
		return "Job " + name + " is suspended: it starts pods again when somebody resumes it."
	case jobGone:
		return "Job " + name + " is gone: it starts no more pods."
	case jobWaiting:
		return "Job " + name +
			" is not over, but since one of its pods has succeeded it starts no other: it has no completions set."
	case jobGoing:
		return "Job " + name + " is not over: within its limits it starts another pod by itself."
	default:
		return "Whether Job " + name + " starts another pod is not known: it could not be read."
	}
}

func failure(j *batchv1.Job) string {
	for _, t := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobFailureTarget} {
		if c := condition(j, t); c != nil && c.Reason != "" {
			return " (" + clean(c.Reason) + ")"
		}
	}
	return ""
}

// counted says whether the Job controller has counted the pod. It keeps a finished pod's UID in
// uncountedTerminatedPods until the pod's finalizer is off, and counts it then; so a pod that is
// gone and is not listed there has been dealt with (kubernetes
// pkg/controller/job/job_controller.go, trackJobStatusAndRemoveFinalizers).
func (f Facts) counted(name string) string {
	j, uid := f.job(), f.spec().PodUID
	switch {
	case j == nil:
		return "Whether Job " + name + " has counted it is not known."
	case j.Status.UncountedTerminatedPods != nil &&
		slices.Contains(j.Status.UncountedTerminatedPods.Succeeded, uid):
		return "Job " + name + " is about to count it as a success."
	case j.Status.UncountedTerminatedPods != nil &&
		slices.Contains(j.Status.UncountedTerminatedPods.Failed, uid):
		return "Job " + name + " is about to count it as a failure."
	case f.Here && !f.Untracked:
		return "Job " + name + " has not counted it yet."
	case f.succeeded():
		return countedAs(name, "a success", j.Status.Succeeded)
	case f.ignored():
		return "Job " + name +
			" should not have counted it as a failure: its podFailurePolicy ignores such an end."
	case f.overlooked():
		return countedAs(name, "a failure", j.Status.Failed) +
			" Its podFailurePolicy tells a disruption by the condition DisruptionTarget, which the pod did not have."
	default:
		return countedAs(name, "a failure", j.Status.Failed)
	}
}

// tally returns how many pods a Job has counted or is about to count.
func tally(j *batchv1.Job) (succeeded, failed int) {
	succeeded, failed = int(j.Status.Succeeded), int(j.Status.Failed)
	if u := j.Status.UncountedTerminatedPods; u != nil {
		succeeded, failed = succeeded+len(u.Succeeded), failed+len(u.Failed)
	}
	return succeeded, failed
}

func countedAs(name, what string, counter int32) string {
	if counter == 0 {
		return "Job " + name + " has not counted it as " + what + "."
	}
	return "Job " + name + " has counted it as " + what + ", as far as its status shows."
}
