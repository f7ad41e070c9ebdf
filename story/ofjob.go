package story

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// OfJob tells the story of the pods of a Job that are on record, newest last. Without j, the Job is
// gone.
func OfJob(namespace, name string, j *batchv1.Job, pods []v1alpha1.PodObituary) Story {
	state := jobGone
	if j != nil {
		state = stateOf(j)
	}
	pods, earlier := ofThis(j, pods)
	s := Story{Title: "Job " + clean(namespace) + "/" + clean(name) + ": " + onRecord(len(pods)) +
		"."}
	s.add(itsPods, append(summaries(pods), ofEarlier(earlier))...)
	s.add(whoAgain, saysState(clean(name), state, j))
	v := jobVerdict(clean(name), state, j, pods)
	s.Verdict = &v
	return s
}

// allAreKnown tells whether a Job that is over has had no other pods than those that are on record.
func allAreKnown(j *batchv1.Job, onRecord int) bool {
	if j == nil || j.Status.Active > 0 {
		return false
	}
	succeeded, failed := tally(j)
	return succeeded == 0 && failed <= onRecord
}

// ofThis leaves out the pods of earlier Jobs of the name, and counts them. Of a Job that is gone,
// its pods are all that bear its name.
func ofThis(j *batchv1.Job, pods []v1alpha1.PodObituary) (own []v1alpha1.PodObituary, earlier int) {
	if j == nil {
		return pods, 0
	}
	for n := range pods {
		if (Facts{Pod: &pods[n], Job: j}).job() != nil {
			own = append(own, pods[n])
		}
	}
	return own, len(pods) - len(own)
}

func ofEarlier(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "One more is of an earlier Job of this name."
	default:
		return fmt.Sprintf("%d more are of earlier Jobs of this name.", n)
	}
}

func onRecord(n int) string {
	if n == 1 {
		return "1 pod of it is on record"
	}
	return fmt.Sprintf("%d pods of it are on record", n)
}

func jobVerdict(name string, s jobState, j *batchv1.Job, pods []v1alpha1.PodObituary) Verdict {
	switch {
	case s == jobComplete:
		return ofCompleted(name, j, pods)
	case s == jobGoing:
		return restingOn(JobNotOver, "Job "+name+" is not over and runs its pods again by itself.")
	case s == jobWaiting:
		return restingOn(JobNotOver, "Job "+name+
			" is not over: it waits for the pods that still run.")
	case s == jobSuspended:
		return restingOn(JobSuspended, "Job "+name+" is suspended; resume it instead.")
	case len(pods) == 0:
		return restingOn(NothingKnown,
			"no pod of it is on record. Routine removals are only counted, by default.")
	}
	return ofAll(j, pods)
}

// ofCompleted says of a Job that has completed what must be said of those pods that it counts.
func ofCompleted(name string, j *batchv1.Job, pods []v1alpha1.PodObituary) Verdict {
	for n := range pods {
		if v := (Facts{Pod: &pods[n], Job: j}).ofItself(); v.Basis == CountedUnproven {
			return restingOn(CountedUnproven,
				"pod "+clean(pods[n].Spec.PodName)+" decides: "+v.Because)
		}
	}
	return restingOn(JobCompleted, "Job "+name+" has completed, so its work is done.")
}

// ofAll says of a Job that is over what must be said of its worst pod. It is safe only where every
// pod that the Job ever counted is on record: a success, a pod that still runs, or a failure that
// nobody recorded, has done something.
func ofAll(j *batchv1.Job, pods []v1alpha1.PodObituary) Verdict {
	if !allAreKnown(j, len(pods)) {
		return restingOn(NotAllOnRecord,
			"it is not known what all of its pods did; one that is not on record may have done part of the work."+askTheAuthor)
	}
	for n := range pods {
		f := Facts{Pod: &pods[n], Job: j}
		if v := f.ofItself(); v.Answer != Safe {
			return restingOn(v.Basis, "pod "+clean(pods[n].Spec.PodName)+" decides: "+v.Because+
				f.onPurpose())
		}
	}
	return restingOn(EachPodSafe, "so it is for each of its pods.")
}
