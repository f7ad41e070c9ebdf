package gcp

import (
	"slices"
	"time"

	compute "google.golang.org/api/compute/v1"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/reason"
)

// clockSkew is how far the clock of the cluster may be behind that of the cloud.
const clockSkew = time.Minute

// An operation was done to an instance.
type operation struct {
	kind
	// target is the number of the instance.
	target uint64
	at     time.Time
	user   string
	words  string
}

// operationOf reads an operation. One that failed did nothing.
func operationOf(o *compute.Operation) (operation, bool) {
	if o == nil || o.Error != nil && len(o.Error.Errors) > 0 || o.HttpErrorStatusCode != 0 {
		return operation{}, false
	}
	k, known := kinds()[o.OperationType]
	at, err := time.Parse(time.RFC3339, o.InsertTime)
	if !known || err != nil {
		return operation{}, false
	}
	return operation{kind: k, target: o.TargetId, at: at, user: o.User, words: o.StatusMessage},
		true
}

// An end is how an instance ended.
type end struct {
	operation
	// restarted says that it was then started again by itself.
	restarted bool
}

// endOf returns how the instance ended whose Node was gone by then; nil if nothing is known.
func endOf(all []operation, gone time.Time) *end {
	slices.SortStableFunc(all, func(a, b operation) int { return a.at.Compare(b.at) })
	target, ok := targetOf(all, gone)
	if !ok {
		return nil
	}
	var last *end
	runs := true
	for _, o := range all {
		switch {
		case o.target != target:
		case o.Ends && runs:
			last, runs = &end{operation: o}, false
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
func targetOf(all []operation, gone time.Time) (target uint64, ok bool) {
	for _, o := range all {
		if o.Ends && !o.at.After(gone.Add(clockSkew)) {
			target, ok = o.target, true
		}
	}
	return target, ok
}

// tell writes how the instance ended.
func (e *end) tell(d *explain.Draft) {
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
	d.At(e.at)
	d.Detail(words)
}
