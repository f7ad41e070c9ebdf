package story

import (
	batchv1 "k8s.io/api/batch/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

func (f Facts) verdict() Verdict {
	v := f.forItsJob(f.ofItself())
	if v.Retry != no {
		v.Because += f.onPurpose() + f.twice()
	}
	return f.forPrograms(v)
}

// ofItself looks at what this pod has done already, strongest basis first.
func (f Facts) ofItself() Verdict {
	switch p := f.progress(); {
	case f.Here && !f.over() && f.spec().DeletionRequested == nil:
		return restingOn(StillThere, "it is still there and has not ended.")
	case f.Here && !f.over():
		return restingOn(BeingDeleted,
			"it is being deleted and has not ended yet. Ask again when it is gone.")
	case f.jobState() == jobComplete:
		return f.afterItsJob(p)
	case f.code() == reason.LimitExceeded:
		return restingOn(OverItsLimit,
			"it used more than its own limit allows; unchanged, it would end the same way.")
	case f.code() == reason.DeadlineExceeded:
		return restingOn(OverDeadline,
			"it ran longer than its own deadline allows; unchanged, it would end the same way.")
	case p == finished:
		return restingOn(Finished,
			"it had finished; every container had ended by itself with code 0.")
	case p == neverBegan || p == preparing:
		return f.nothingRan(p)
	case p == failed:
		return f.failedByItself()
	case p == betweenRuns:
		return restingOn(BetweenRuns,
			"it was between two runs: the last one had ended with code 0, and its node was about to start it again, as its restartPolicy says."+askTheAuthor)
	case p == unreported && f.refused():
		return f.whenRefused()
	case p == unreported:
		return restingOn(NotReported, "how far it had come is not on record."+askTheAuthor)
	case p == partly:
		return restingOn(PartlyRun, "part of it had run and part of it had not; "+mayHaveDone+
			askTheAuthor)
	default:
		return f.interrupted(p)
	}
}

// afterItsJob is for pods of a completed Job. The Job counts a pod that ended with 0 because it was
// told to stop as a success all the same, so that its completion proves nothing.
func (f Facts) afterItsJob(p progress) Verdict {
	name, _ := f.ownJob()
	switch {
	case p == stopped && f.succeeded() && f.code() != reason.JobFinished &&
		f.code() != reason.RemovedByOwner:
		return restingOn(CountedUnproven, "Job "+name+
			" has completed, but it counts this pod as a success, which ended with code 0 when it was told to stop or at about that time; whether its work was done, that does not say."+askTheAuthor)
	case f.job().Spec.SuccessPolicy != nil:
		return restingOn(JobCompleted, "Job "+name+
			" has completed, as its author has defined it (successPolicy); nothing more of it is wanted.")
	default:
		return restingOn(JobCompleted, "Job "+name+" has completed, so its work is done.")
	}
}

// refused reports whether the kubelet refused the pod, for whatever reason, and no container of it
// was reported.
func (f Facts) refused() bool {
	return (f.code() == reason.Refused || f.spec().RefusedAtOnce) && len(f.spec().Containers) == 0
}

// whenRefused distinguishes a pod that a kubelet never accepted from one that a restarted kubelet
// may have dropped.
func (f Facts) whenRefused() Verdict {
	if f.spec().RefusedAtOnce {
		return restingOn(RefusedAtOnce,
			"its kubelet refused it when it first saw it; nothing of it had run.")
	}
	return restingOn(RefusedLater,
		"its kubelet refused it, and may have let it run before: a kubelet that is restarted refuses what it cannot place again, and forgets how far it had come."+askTheAuthor)
}

func (f Facts) nothingRan(p progress) Verdict {
	switch {
	case f.unheard():
		return restingOn(MayHaveStarted,
			"the program had not started when the node was last heard of, but it may have started since, and may even be running there. Make sure that the node is off.")
	case f.silentBefore():
		return restingOn(MayHaveStarted,
			"the program had not started when the node was last heard of, but how long before the node was given up that was, nobody knows: it may have started since."+askTheAuthor)
	case p == preparing:
		return restingOn(OnlyPrepared,
			"the program itself had not started when its node last reported; only its init containers had, and Kubernetes asks of those that they can be repeated.")
	case f.spec().NodeName == "":
		return restingOn(NeverStarted, "nothing of it had run; it never reached a node.")
	default:
		return restingOn(NeverStarted, "nothing of it had run when its node last reported.")
	}
}

func (f Facts) failedByItself() Verdict {
	mains := f.mains()
	if oom := named(mains,
		func(c v1alpha1.ContainerEnd) bool { return c.Reason == "OOMKilled" }); oom != "" {
		return restingOn(OutOfMemory, "it ran out of memory ("+oom+
			"): it had reached its own limit, or its node had no more. Unchanged, it may well end the same way.")
	}
	if killed := named(mains, killedBySignal); killed != "" {
		return restingOn(Killed, "it was killed ("+killed+
			") before anybody deleted it, by its deadline, its liveness probe or something within; "+mayHaveDone+askTheAuthor)
	}
	return restingOn(FailedByItself, "the program had ended with a failure of its own ("+
		named(mains, unsuccessful)+
		"), which the platform had no part in. Its log says why; unchanged, it may fail again.")
}

// interrupted is for programs that were at work when they ended. Only the author can say whether
// such a program may be repeated.
func (f Facts) interrupted(p progress) Verdict {
	name, _ := f.ownJob()
	if f.unheard() && p == cutOff {
		return restingOn(MayStillRun,
			"nobody saw it stop. Its node fell silent or left the cluster, and it may be running there still. Make sure that the node is off; "+mayHaveDone+askTheAuthor)
	}
	switch f.afterDisruption() {
	case batchv1.PodFailurePolicyActionIgnore:
		return restingOn(AuthorSaysAgain, "it was cut off by the platform, and the author of Job "+
			name+" has said (podFailurePolicy) that a pod which is disrupted is to be run again.")
	case batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionFailIndex:
		return restingOn(AuthorSaysNo, "the author of Job "+name+
			" has said (podFailurePolicy) that a pod which is disrupted is not to be run again.")
	default:
		return restingOn(basisOf(p), f.howItWasInterrupted(p)+askTheAuthor)
	}
}

func basisOf(p progress) Basis {
	if p == stopped {
		return ToldToStop
	}
	return CutOff
}

func (f Facts) howItWasInterrupted(p progress) string {
	how := "it was running and was cut off"
	if p == stopped {
		how = "it ended when it was told to stop or at about that time"
	}
	if f.disrupted() {
		how += ", by no fault of its own"
	}
	if done := named(f.mains(),
		func(c v1alpha1.ContainerEnd) bool {
			return c.ExitCode != nil && *c.ExitCode == 0 &&
				!f.toldToStop(c)
		}); done != "" && p == cutOff {
		return how + " (" + done + " had ended with code 0 before); " + mayHaveDone
	}
	if p == stopped {
		return how + "; its exit code does not say whether its work was done."
	}
	return how + "; " + mayHaveDone
}
