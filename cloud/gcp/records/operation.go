package records

import (
	"slices"
	"time"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/reason"
)

// clockSkew is how far the clock of the cluster may be behind that of the cloud.
const clockSkew = time.Minute

// An Entry is an operation as Compute Engine lists it
// (docs.cloud.google.com/compute/docs/reference/rest/v1/zoneOperations).
type Entry struct {
	OperationType, InsertTime, User, StatusMessage string
	// TargetID is the number of the instance.
	TargetID uint64
}

// An Operation was done to an instance.
type Operation struct {
	kind
	// At is when it was asked for.
	At          time.Time
	target      uint64
	user, words string
}

// Parse reads an operation, and reports whether it may have ended an instance, or begun one.
func Parse(e Entry) (Operation, bool) {
	k, known := kinds()[e.OperationType]
	at, err := time.Parse(time.RFC3339, e.InsertTime)
	if !known || err != nil {
		return Operation{}, false
	}
	return Operation{kind: k, target: e.TargetID, At: at, user: e.User, words: e.StatusMessage},
		true
}

// An End is how an instance ended.
type End struct {
	Operation
	// restarted says that it was then started again by itself.
	restarted bool
}

// EndOf returns how the instance ended whose Node was gone by then; nil if nothing is known.
func EndOf(all []Operation, gone time.Time) *End {
	slices.SortStableFunc(all, func(a, b Operation) int { return a.At.Compare(b.At) })
	target, ok := targetOf(all, gone)
	if !ok {
		return nil
	}
	var last *End
	runs := true
	for _, o := range all {
		switch {
		case o.target != target:
		case o.Ends && runs:
			last, runs = &End{Operation: o}, false
		case o.Begins:
			runs = true
			if last != nil && o.Type == automaticRestart {
				last.restarted = true
			}
		}
	}
	return last
}

const (
	automaticRestart = "compute.instances.automaticRestart"
	preempted        = "compute.instances.preempted"
)

// targetOf returns the number of the instance that the Node was: of the last one that ended before
// the Node left. Its successor may have ended since.
func targetOf(all []Operation, gone time.Time) (target uint64, ok bool) {
	for _, o := range all {
		if o.Ends && !o.At.After(gone.Add(clockSkew)) {
			target, ok = o.target, true
		}
	}
	return target, ok
}

// Tell writes how the instance ended.
func (e *End) Tell(d *explain.Draft) {
	what, who, words := e.What, "", e.Type
	if e.Called {
		what, who = calledBy(e.user), e.user
		words += " by " + who
	}
	if e.words != "" {
		words += ": " + e.words
	}
	if e.Type == preempted && e.restarted {
		// A Spot VM is never restarted by itself. So this is none, but a machine that is stopped
		// for the maintenance of its host, such as one with a TPU.
		what = reason.EvidenceMaintenance
		words += "; then restarted, so that it was no Spot VM: its host was maintained"
	}
	d.Happened(what, who)
	d.At(e.At)
	d.Detail(words)
}
