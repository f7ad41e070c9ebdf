package story

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// OfJob tells the story of the pods of a Job that are on record, newest last. Without j, the Job is gone.
func OfJob(namespace, name string, j *batchv1.Job, pods []v1alpha1.PodObituary) Story {
	state := jobGone
	if j != nil {
		state = stateOf(j)
	}
	s := Story{Title: "Job " + clean(namespace) + "/" + clean(name) + ": " + onRecord(len(pods)) + "."}
	s.add(itsPods, summaries(pods)...)
	s.add(whoAgain, saysState(clean(name), state, j))
	v := jobVerdict(clean(name), state, j, pods)
	s.Verdict = &v
	return s
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
		return Verdict{No, "Job " + name + " has completed, so its work is done."}
	case s == jobGoing:
		return Verdict{No, "Job " + name + " is not over and runs its pods again by itself."}
	case s == jobSuspended:
		return Verdict{No, "Job " + name + " is suspended; resume it instead."}
	case len(pods) == 0:
		return Verdict{Unknown, "no pod of it is on record. Only disruptions and unexplained deletions are recorded by default."}
	}
	return ofAll(j, pods)
}

// ofAll says of a Job that is over what must be said of its worst pod. It is safe only where every pod that the Job ever
// counted is on record: a success, or a failure that nobody recorded, has done something.
func ofAll(j *batchv1.Job, pods []v1alpha1.PodObituary) Verdict {
	if j == nil || j.Status.Succeeded > 0 || int(j.Status.Failed) > len(pods) {
		return Verdict{Unknown, "it is not known what all of its pods did; one that is not on record may have done part of the work." + askTheAuthor}
	}
	for n := range pods {
		if v := (Facts{Pod: &pods[n], Job: j}).verdict(); v.Answer != Safe {
			return Verdict{v.Answer, "pod " + clean(pods[n].Spec.PodName) + " decides: " + v.Because}
		}
	}
	return Verdict{Safe, "so it is for each of its pods."}
}
