package story

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
)

// allAreKnown reports whether all pods that a finished Job has had are known.
func allAreKnown(j *batchv1.Job, known int) bool {
	if j == nil || j.Status.Active > 0 {
		return false
	}
	succeeded, failed := tally(j)
	return succeeded == 0 && failed <= known
}

func ofEarlier(n int, kind string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "One more is of an earlier " + kind + " of this name."
	default:
		return fmt.Sprintf("%d more are of earlier %ss of this name.", n, kind)
	}
}

func onRecord(n int) string {
	if n == 1 {
		return "1 pod of it is on record"
	}
	return fmt.Sprintf("%d pods of it are on record", n)
}

func jobVerdict(name string, s jobState, j *batchv1.Job, ended []Facts) Verdict {
	switch {
	case s == jobComplete:
		return ofCompleted(name, ended)
	case s == jobGoing:
		return restingOn(JobNotOver, "Job "+name+" is not over and runs its pods again by itself.")
	case s == jobWaiting:
		return restingOn(JobNotOver, "Job "+name+
			" is not over: it waits for the pods that still run.")
	case s == jobSuspended:
		return restingOn(JobSuspended, "Job "+name+" is suspended; resume it instead.")
	case len(ended) == 0:
		return restingOn(NothingKnown,
			"no pod of it is on record. Routine removals are only counted, by default.")
	}
	return ofAll(j, ended)
}

// ofCompleted returns the verdict on a completed Job: that of a pod whose success proves nothing,
// if there is one.
func ofCompleted(name string, ended []Facts) Verdict {
	for _, f := range ended {
		if v := f.ofItself(); v.Basis == CountedUnproven {
			return restingOn(CountedUnproven,
				"pod "+clean(f.spec().PodName)+" decides: "+v.Because)
		}
	}
	return restingOn(JobCompleted, "Job "+name+" has completed, so its work is done.")
}

// ofAll returns the verdict on a finished Job: that of its first pod that is not safe. It is safe
// only if every pod that the Job ever counted is known, since a success, a running pod, or an
// unrecorded failure may have done part of the work.
func ofAll(j *batchv1.Job, ended []Facts) Verdict {
	if !allAreKnown(j, len(ended)) {
		return restingOn(NotAllOnRecord,
			"it is not known what all of its pods did; one that is not on record may have done part of the work."+askTheAuthor)
	}
	for _, f := range ended {
		if v := f.ofItself(); v.Retry != safe {
			return restingOn(v.Basis, "pod "+clean(f.spec().PodName)+" decides: "+v.Because+
				f.onPurpose())
		}
	}
	return restingOn(EachPodSafe, "so it is for each of its pods.")
}
