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

// A Ground is what an answer rests on, in one word: for programs, and for docs/batch-users.md, which a test compares.
type Ground string

// The grounds of a pod's verdict.
const (
	NeverStarted    Ground = "NeverStarted"
	OnlyPrepared    Ground = "OnlyPrepared"
	AuthorSaysAgain Ground = "AuthorSaysAgain"

	StillThere   Ground = "StillThere"
	JobCompleted Ground = "JobCompleted"
	OverItsLimit Ground = "OverItsLimit"
	Finished     Ground = "Finished"
	AuthorSaysNo Ground = "AuthorSaysNo"

	BeingDeleted    Ground = "BeingDeleted"
	CutOff          Ground = "CutOff"
	ToldToStop      Ground = "ToldToStop"
	CountedUnproven Ground = "CountedUnproven"
	MayStillRun     Ground = "MayStillRun"
	MayHaveStarted  Ground = "MayHaveStarted"
	FailedByItself  Ground = "FailedByItself"
	OutOfMemory     Ground = "OutOfMemory"
	Killed          Ground = "Killed"
	BetweenRuns     Ground = "BetweenRuns"
	PartlyRun       Ground = "PartlyRun"
	NotReported     Ground = "NotReported"
	OthersMayHave   Ground = "OthersMayHave"
)

// The further grounds of a Job's verdict.
const (
	EachPodSafe    Ground = "EachPodSafe"
	JobNotOver     Ground = "JobNotOver"
	JobSuspended   Ground = "JobSuspended"
	NothingKnown   Ground = "NothingKnown"
	NotAllOnRecord Ground = "NotAllOnRecord"
)

// answers are what each ground leads to.
var answers = map[Ground]Answer{
	NeverStarted: Safe, OnlyPrepared: Safe, AuthorSaysAgain: Safe, EachPodSafe: Safe,

	StillThere: No, JobCompleted: No, OverItsLimit: No, Finished: No, AuthorSaysNo: No, JobNotOver: No, JobSuspended: No,

	BeingDeleted: Unknown, CutOff: Unknown, ToldToStop: Unknown, CountedUnproven: Unknown, MayStillRun: Unknown, MayHaveStarted: Unknown,
	FailedByItself: Unknown, OutOfMemory: Unknown, Killed: Unknown, BetweenRuns: Unknown, PartlyRun: Unknown, NotReported: Unknown,
	OthersMayHave: Unknown, NothingKnown: Unknown, NotAllOnRecord: Unknown,
}

// A Verdict is the answer, what it rests on, and why.
type Verdict struct {
	Answer  Answer `json:"answer"`
	Ground  Ground `json:"ground"`
	Because string `json:"because"`
}

func restingOn(g Ground, because string) Verdict { return Verdict{answers[g], g, because} }

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
