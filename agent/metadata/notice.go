package metadata

import (
	"time"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A Notice is what the cloud announces for this machine.
type Notice struct {
	// ID tells it from others, and stays the same while the service repeats it.
	ID string
	// What is one of the kinds of evidence that [reason.Evidence.Announced] knows, and Detail the
	// cloud's words.
	What, Detail string
	// Due is when the machine goes at the earliest; zero means that it may go at once.
	Due time.Time
	// Until is when it is too late for the machine to go because of this; zero means Lasts after
	// the notice was first heard.
	Until time.Time
	Lasts time.Duration
}

// ahead is how long before its time a notice may explain why a node goes. Before that a node that
// goes has another reason, since the clouds announce maintenance weeks ahead. It is Azure's notice
// for a restart, and some minutes.
const ahead = 20 * time.Minute

// late is how long after its announced time an end may come: the machine shuts down, and the
// kubelet's last report may be minutes old.
const late = 10 * time.Minute

// maxDetail bounds the cloud's words.
const maxDetail = 256

// A heard is a notice, and when it was first heard.
type heard struct {
	Notice
	at time.Time
}

// counts reports whether the machine may go at this time because of the notice.
func (h heard) counts(now time.Time) bool {
	return !now.Before(h.Due.Add(-ahead)) && now.Before(h.until())
}

func (h heard) until() time.Time {
	if h.Until.IsZero() {
		return h.at.Add(h.Lasts)
	}
	return h.Until
}

// repeats reports whether n is the same announcement: the same end, at most a minute apart.
func (h heard) repeats(n Notice) bool {
	return h.What == n.What && apart(h.Due, n.Due) <= time.Minute &&
		apart(h.Until, n.Until) <= time.Minute
}

func apart(a, b time.Time) time.Duration { return a.Sub(b).Abs() }

// evidence is what is written onto the Node.
func (h heard) evidence(cloud, bootID string) reason.Evidence {
	return reason.Evidence{
		What: h.What, Who: cloud, Detail: reason.CleanTo(h.Detail, maxDetail),
		When: h.at.UTC().Truncate(time.Second), BootID: bootID,
		Until: h.until().UTC().Truncate(time.Second),
	}
}

// at prints a time as the clouds do.
func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }
