package story

import (
	"cmp"
	"strings"

	"github.com/epitaph-k8s/epitaph/reason"
)

// OfPod tells the story of a pod.
func OfPod(f Facts) Story {
	s := Story{Title: f.title()}
	s.add(whatHappened, say(f.sentence()), say(f.meaning()), amended(f.spec().Amended), f.node(),
		cloudSaid(f.Node))
	s.add(howFar, f.containers()...)
	s.add(whoAgain, lines(f.again()...)...)
	v := f.verdict()
	s.Verdict = &v
	return s
}

func (f Facts) name() string { return clean(f.Pod.Namespace) + "/" + clean(f.spec().PodName) }

func (f Facts) title() Line {
	switch {
	case !f.Here:
		return say("Pod " + f.name() + " left at ").at(f.spec().Removed).say(".")
	case f.spec().DeletionRequested != nil:
		return say("Pod " + f.name() + " is being deleted since ").
			at(*f.spec().DeletionRequested).say(".")
	default:
		return say("Pod " + f.name() + " is still there.")
	}
}

func (f Facts) sentence() string {
	if text := clean(f.spec().Reason); text != "" {
		return text
	}
	if f.Here && f.spec().DeletionRequested == nil {
		return "Nothing has been said about its end."
	}
	return "Nobody said why."
}

// meaning explains the code to somebody who sees it for the first time.
func (f Facts) meaning() string {
	code := clean(f.spec().Code)
	if code == "" {
		return ""
	}
	code += f.class()
	return code + f.deleter() + "."
}

// deleter says who deleted the pod. A pod that exists and is not being deleted has no deleter.
func (f Facts) deleter() string {
	if by := clean(f.spec().By); f.Here && f.spec().DeletionRequested == nil && by != "" {
		return ". Its reason names " + by
	}
	return deleter(f.spec().By, f.spec().DeletedBy)
}

// deleter compares the name in the reason with the known deleter. Anybody who may write a reason
// may name anybody in it.
func deleter(by, deletedBy string) string {
	by, deletedBy = clean(by), clean(deletedBy)
	switch {
	case by == "" && deletedBy == "":
		return ""
	case by == "", agree(by, deletedBy):
		return ". Terminated by " + cmp.Or(by, deletedBy)
	case deletedBy == "":
		return ". Its reason names " + by + "; who deleted it is not known"
	default:
		return ". Its reason names " + by + "; " + deletedBy + " deleted it"
	}
}

// agree reports whether the reason names the deleter; an eviction's reason also says on whose
// behalf.
func agree(by, deletedBy string) bool {
	return by == deletedBy || deletedBy != "" && strings.HasPrefix(by, deletedBy+" for ")
}

func (f Facts) class() string {
	switch {
	case f.code() == reason.LimitExceeded || f.code() == reason.DeadlineExceeded:
		return ": its own doing, not the platform's"
	case f.disrupted():
		return ": a disruption, which is not the program's fault"
	case f.spec().Class == reason.Routine.String():
		return ": a routine removal, as its owner, the cluster or a person intended"
	default:
		return unexplained(f.code())
	}
}

// unexplained is for deletions that nobody explained, and for codes of other tools, which Epitaph
// does not know.
func unexplained(c reason.Code) string {
	if c == reason.Unexplained {
		return ": a finding, because every deletion should say why"
	}
	return ": a code that Epitaph does not know"
}

func (f Facts) node() Line {
	name := clean(f.spec().NodeName)
	switch {
	case name == "":
		return nil
	case f.Node == nil:
		return say("It was on node " + name + ".")
	default:
		return say("It was on node " + name + ", which").then(departed(f.Node)...).
			say(": " + clean(f.Node.Spec.Reason))
	}
}
