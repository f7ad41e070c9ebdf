package story

import "github.com/epitaph-k8s/epitaph/api/v1alpha1"

// The answers to whether a pod may be run again.
const (
	safe    = v1alpha1.RetrySafe
	no      = v1alpha1.RetryNo
	unknown = v1alpha1.RetryUnknown
)

// A Basis is the ground for an answer, in one word, for programs and for docs/batch-users.md, which
// a test compares.
type Basis = v1alpha1.Basis

// The bases of a pod's verdict.
const (
	NeverStarted    Basis = "NeverStarted"
	OnlyPrepared    Basis = "OnlyPrepared"
	RefusedAtOnce   Basis = "RefusedAtOnce"
	AuthorSaysAgain Basis = "AuthorSaysAgain"

	StillThere   Basis = "StillThere"
	JobCompleted Basis = "JobCompleted"
	OverItsLimit Basis = "OverItsLimit"
	OverDeadline Basis = "OverDeadline"
	Finished     Basis = "Finished"
	AuthorSaysNo Basis = "AuthorSaysNo"

	BeingDeleted    Basis = "BeingDeleted"
	CutOff          Basis = "CutOff"
	ToldToStop      Basis = "ToldToStop"
	CountedUnproven Basis = "CountedUnproven"
	MayStillRun     Basis = "MayStillRun"
	MayHaveStarted  Basis = "MayHaveStarted"
	FailedByItself  Basis = "FailedByItself"
	OutOfMemory     Basis = "OutOfMemory"
	Killed          Basis = "Killed"
	BetweenRuns     Basis = "BetweenRuns"
	PartlyRun       Basis = "PartlyRun"
	NotReported     Basis = "NotReported"
	RefusedLater    Basis = "RefusedLater"
	OthersMayHave   Basis = "OthersMayHave"
)

// The further bases of a Job's verdict.
const (
	EachPodSafe    Basis = "EachPodSafe"
	JobNotOver     Basis = "JobNotOver"
	JobSuspended   Basis = "JobSuspended"
	NothingKnown   Basis = "NothingKnown"
	NotAllOnRecord Basis = "NotAllOnRecord"
)

// answers are the answers that the bases lead to.
var answers = map[Basis]v1alpha1.Retry{
	NeverStarted: safe, OnlyPrepared: safe, RefusedAtOnce: safe, AuthorSaysAgain: safe,
	EachPodSafe: safe,

	StillThere: no, JobCompleted: no, OverItsLimit: no, OverDeadline: no, Finished: no,
	AuthorSaysNo: no, JobNotOver: no, JobSuspended: no,

	BeingDeleted: unknown, CutOff: unknown, ToldToStop: unknown, CountedUnproven: unknown,
	MayStillRun: unknown, MayHaveStarted: unknown,
	FailedByItself: unknown, OutOfMemory: unknown, Killed: unknown, BetweenRuns: unknown,
	PartlyRun: unknown, NotReported: unknown,
	RefusedLater: unknown, OthersMayHave: unknown, NothingKnown: unknown, NotAllOnRecord: unknown,
}

// A Verdict is the answer for programs, and why. A Job's has only the answer and its basis.
type Verdict struct {
	v1alpha1.Verdict `json:",inline"`

	Because string `json:"because"`
}

func restingOn(b Basis, because string) Verdict {
	return Verdict{v1alpha1.Verdict{Retry: answers[b], Basis: b}, because}
}

// String returns the verdict as a sentence.
func (v Verdict) String() string {
	switch v.Retry {
	case safe:
		return "Yes, as far as the platform can tell: " + v.Because
	case no:
		return "No: " + v.Because
	default:
		return "Unknown: " + v.Because
	}
}

const (
	askTheAuthor = " Somebody who knows the program has to decide whether it can be repeated."
	mayHaveDone  = "it may have done part of its work."
)
