package story

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

// A Basis is what an answer rests on, in one word: for programs, and for docs/batch-users.md, which
// a test compares.
type Basis string

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

// answers are what each basis leads to.
var answers = map[Basis]Answer{
	NeverStarted: Safe, OnlyPrepared: Safe, RefusedAtOnce: Safe, AuthorSaysAgain: Safe,
	EachPodSafe: Safe,

	StillThere: No, JobCompleted: No, OverItsLimit: No, OverDeadline: No, Finished: No,
	AuthorSaysNo: No, JobNotOver: No, JobSuspended: No,

	BeingDeleted: Unknown, CutOff: Unknown, ToldToStop: Unknown, CountedUnproven: Unknown,
	MayStillRun: Unknown, MayHaveStarted: Unknown,
	FailedByItself: Unknown, OutOfMemory: Unknown, Killed: Unknown, BetweenRuns: Unknown,
	PartlyRun: Unknown, NotReported: Unknown,
	RefusedLater: Unknown, OthersMayHave: Unknown, NothingKnown: Unknown, NotAllOnRecord: Unknown,
}

// A Verdict is the answer, what it rests on, and why.
type Verdict struct {
	Answer  Answer `json:"answer"`
	Basis   Basis  `json:"basis"`
	Because string `json:"because"`
}

func restingOn(g Basis, because string) Verdict { return Verdict{answers[g], g, because} }

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
	askTheAuthor = " Somebody who knows the program has to decide whether it can be repeated."
	mayHaveDone  = "it may have done part of its work."
)
