package story

import (
	batchv1 "k8s.io/api/batch/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An Answer to the question whether a pod may be run again.
type Answer string

// The answers.
const (
	// Safe, as far as the platform can tell.
	Safe Answer = "safe"
	// No: it must not, or it need not.
	No Answer = "no"
	// Unknown: only somebody who knows the program can tell.
	Unknown Answer = "unknown"
)

// A Verdict is the answer, and why.
type Verdict struct {
	Answer  Answer `json:"answer"`
	Because string `json:"because"`
}

// String returns the verdict as a sentence.
func (v Verdict) String() string {
	switch v.Answer {
	case Safe:
		return "Yes, as far as the platform can tell: " + v.Because
	case No:
		return "No: " + v.Because
	default:
		return "Unknown: " + v.Because
	}
}

const (
	askTheAuthor = " Whoever knows the program has to say whether it can be repeated."
	mayHaveDone  = "it may have done part of its work."
)

func (f Facts) verdict() Verdict {
	v := f.bySafety()
	if v.Answer != No {
		v.Because += f.onPurpose() + f.twice()
	}
	return v
}

// bySafety looks at what has been done already, strongest ground first.
func (f Facts) bySafety() Verdict {
	name, _ := f.ownJob()
	switch p := f.progress(); {
	case f.Here && !f.over() && f.spec().Condemned == nil:
		return Verdict{No, "it is still there and has not ended."}
	case f.Here && p == cutOff:
		return Verdict{Unknown, "it is being deleted and has not ended yet. Ask again when it is gone."}
	case f.jobState() == jobComplete:
		return Verdict{No, "Job " + name + " has completed, so its work is done."}
	case f.code() == reason.LimitExceeded:
		return Verdict{No, "it used more than its own limit allows; unchanged, it would end the same way."}
	case p == finished:
		return Verdict{No, "it had finished; every container had ended by itself with code 0."}
	case p == neverBegan || p == preparing:
		return f.nothingRan(p)
	case p == failed:
		return f.failedByItself()
	case p == unreported:
		return Verdict{Unknown, "how far it had come is not on record." + askTheAuthor}
	case p == partly:
		return Verdict{Unknown, "part of it had run and part of it had not; " + mayHaveDone + askTheAuthor}
	default:
		return f.interrupted(p)
	}
}

func (f Facts) nothingRan(p progress) Verdict {
	switch {
	case f.unheard():
		return Verdict{Unknown, "the program had not started when the node was last heard of, but it may have started since, and may even be running there. Make sure that the node is off."}
	case p == preparing:
		return Verdict{Safe, "the program itself had not started when its node last reported; only its init containers had, and Kubernetes asks of those that they can be repeated."}
	case f.spec().NodeName == "":
		return Verdict{Safe, "nothing of it had run; it never reached a node."}
	default:
		return Verdict{Safe, "nothing of it had run when its node last reported."}
	}
}

func (f Facts) failedByItself() Verdict {
	mains := f.mains()
	for _, c := range mains {
		if c.Why == "OOMKilled" {
			return Verdict{Unknown, "container " + clean(c.Name) + " was killed because it used too much memory. Unchanged, it may well end the same way."}
		}
	}
	return Verdict{Unknown, "the program had ended with a failure of its own (" + named(mains, unsuccessful) + "), which the platform had no part in. Its log says why; unchanged, it may fail again."}
}

// interrupted is for what was at work when its end came. The only one who can call that repeatable is its author.
func (f Facts) interrupted(p progress) Verdict {
	name, _ := f.ownJob()
	if f.unheard() && p == cutOff {
		return Verdict{Unknown, "nobody saw it stop. Its node fell silent or left the cluster, and it may be running there still. Make sure that the node is off; " + mayHaveDone + askTheAuthor}
	}
	switch f.afterDisruption() {
	case batchv1.PodFailurePolicyActionIgnore:
		return Verdict{Safe, "it was cut off by the platform, and the author of Job " + name + " has said (podFailurePolicy) that a pod which is disrupted is to be run again."}
	case batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionFailIndex:
		return Verdict{No, "the author of Job " + name + " has said (podFailurePolicy) that a pod which is disrupted is not to be run again."}
	default:
		return Verdict{Unknown, f.howItWasInterrupted(p) + askTheAuthor}
	}
}

func (f Facts) howItWasInterrupted(p progress) string {
	how := "it was running and was cut off"
	if p == stopped {
		how = "it ended when it was told to stop or at about that time"
	}
	if f.disrupted() {
		how += ", by no fault of its own"
	}
	if done := named(f.mains(), func(c v1alpha1.ContainerEnd) bool { return c.ExitCode != nil && *c.ExitCode == 0 && !f.toldToStop(c) }); done != "" && p == cutOff {
		return how + " (" + done + " had ended with code 0 before); " + mayHaveDone
	}
	if p == stopped {
		return how + "; its exit code does not say whether its work was done."
	}
	return how + "; " + mayHaveDone
}

// onPurpose reminds of somebody who wanted it gone.
func (f Facts) onPurpose() string {
	if f.code() != reason.UserRequest {
		return ""
	}
	if by := clean(f.spec().By); by != "" {
		return " It was removed on purpose: ask " + by + " first."
	}
	return " It was removed on purpose: ask who did it first."
}

// twice warns of running it beside a Job that runs it again.
func (f Facts) twice() string {
	name, _ := f.ownJob()
	if f.jobState() == jobGoing {
		return " Do not start it beside Job " + name + ", which starts another pod by itself."
	}
	return ""
}
