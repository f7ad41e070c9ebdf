package inquiry

import (
	"strings"
	"time"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// schedule says when a cloud is asked, counted from when the Node left: at first most instances are
// still shutting down, and logs of calls lag by up to a quarter of an hour.
var schedule = []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 20 * time.Minute}

// tooOld is for how long after a Node's end its cloud is asked at all, if this program was not
// there before.
const tooOld = 24 * time.Hour

// A turn is whether, and when, a record is asked about.
type turn struct {
	// in is how long to wait; the turn is now if it is not positive.
	in time.Duration
	// last is set if what is known after it stands.
	last bool
}

// next returns the next turn of a record; false if there is none.
func next(o *v1alpha1.NodeObituary, now time.Time) (turn, bool) {
	if !questionable(o) {
		return turn{}, false
	}
	left := leftAt(o)
	if now.Sub(left) >= tooOld {
		return turn{}, false
	}
	asked := time.Time{}
	if c := o.Status.Cloud; c != nil {
		asked = c.Asked.Time
	}
	// Of the times that have passed since it was asked, one turn is left.
	for n := len(schedule) - 1; n >= 0; n-- {
		due := left.Add(schedule[n])
		if asked.Before(due) &&
			(n == 0 || !due.After(now) || !asked.Before(left.Add(schedule[n-1]))) {
			return turn{in: due.Sub(now), last: n == len(schedule)-1}, true
		}
	}
	return turn{}, false
}

// leftAt returns when the Node left. The API server's clock wins if ours is behind.
func leftAt(o *v1alpha1.NodeObituary) time.Time {
	if o.CreationTimestamp.After(o.Spec.Removed.Time) {
		return o.CreationTimestamp.Time
	}
	return o.Spec.Removed.Time
}

// questionable reports whether an answer could count: the Node left, and its reason says no more
// than a cloud can, or is a cloud's that may say more.
func questionable(o *v1alpha1.NodeObituary) bool {
	if o.Spec.Returned || o.Spec.ProviderID == "" {
		return false
	}
	if o.Status.Cloud != nil {
		return true
	}
	var heard []reason.Evidence
	for _, e := range o.Spec.Evidence {
		heard = append(heard, reason.Evidence{What: e.What, Who: e.Who, Detail: e.Detail})
	}
	r := reason.Reason{Code: reason.Code(o.Spec.Code), Text: reason.Clean(o.Spec.Reason)}
	return r.YieldsToCloud(reason.Evidence{}, heard)
}

// cloudOf returns the word before "://" in a provider ID.
func cloudOf(providerID string) string {
	cloud, _, ok := strings.Cut(providerID, "://")
	if !ok {
		return ""
	}
	return cloud
}
