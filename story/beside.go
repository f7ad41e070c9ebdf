package story

import (
	"github.com/epitaph-k8s/epitaph/reason"
)

// forItsJob checks a safe verdict against the other pods of the controller: what this pod left
// undone, another may have done.
func (f Facts) forItsJob(v Verdict) Verdict {
	if v.Retry != safe {
		return v
	}
	others := f.othersMayHave()
	if others == "" {
		return v
	}
	return restingOn(OthersMayHave, "of this pod alone, it would be safe: "+v.Because+" But "+
		others)
}

// othersMayHave says who else may have done the work, and why that is not known; it is empty if
// nobody else has.
func (f Facts) othersMayHave() string {
	name, ok := f.ownJob()
	if !ok {
		return f.othersOf()
	}
	switch f.jobState() {
	case jobGone:
		return "Job " + name +
			" is gone, and whether another pod of it did the work is not on record."
	case jobUnknown:
		return "Job " + name + " could not be read: another pod of it may have done the work."
	case jobWaiting:
		return "Job " + name + " has had its first success, and its other pods do what is left."
	case jobFailed:
		succeeded, failed := tally(f.job())
		if succeeded > 0 || f.job().Status.Active > 0 || failed > 1 || failed > 0 && f.ignored() {
			return "Job " + name +
				" counts other pods, which may have done the work: \"kubectl epitaph why job/" +
				name + "\" tells of them."
		}
		return ""
	default:
		return ""
	}
}

// othersOf is for pods of controllers that Epitaph does not know: only they can say what else they
// start.
func (f Facts) othersOf() string {
	owners := f.spec().Owners
	if len(owners) == 0 || IsKind(owners[0], reason.NodeKind) || replaces(owners[0]) {
		return ""
	}
	owner := ownerName(owners[0])
	return "whether another pod of " + owner + " did the work, only " + owner + " can say."
}

// onPurpose adds a reminder if somebody removed the pod on purpose.
func (f Facts) onPurpose() string {
	if f.code() != reason.UserRequest {
		return ""
	}
	by := clean(f.spec().By)
	if deletedBy := clean(f.spec().DeletedBy); deletedBy != "" && !agree(by, deletedBy) {
		by = deletedBy
	}
	if by != "" {
		return " It was removed on purpose: ask " + by + " first."
	}
	return " It was removed on purpose: ask who did it first."
}

// twice warns against starting the pod beside a controller that starts it again.
func (f Facts) twice() string {
	name, _ := f.ownJob()
	switch f.jobState() {
	case jobGoing:
		return " Do not start it beside Job " + name + ", which starts another pod by itself."
	case jobSuspended:
		return " Do not start it beside Job " + name +
			", which starts another pod when it is resumed."
	default:
		return f.replaced()
	}
}

func (f Facts) replaced() string {
	if owners := f.spec().Owners; len(owners) > 0 && replaces(owners[0]) {
		return " You need not start it: " + ownerName(owners[0]) + " replaces it by itself."
	}
	return ""
}
