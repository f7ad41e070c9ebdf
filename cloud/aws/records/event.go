package records

import (
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// endings are the events that end an instance, the most decisive first. BidEvictedEvent is EC2's
// own (docs.aws.amazon.com/AWSEC2/latest/UserGuide/
// monitor-spot-instance-interruptions-with-cloudtrail.html).
var endings = []string{evicted, "TerminateInstances", "StopInstances", "RebootInstances"}

const evicted = "BidEvictedEvent"

// ErrNoEnding says that an event ended no instance.
var ErrNoEnding = errors.New("the event ended no instance")

// An Event is a record of CloudTrail
// (docs.aws.amazon.com/awscloudtrail/latest/userguide/
// cloudtrail-event-reference-record-contents.html).
type Event struct {
	EventName    string    `json:"eventName"`
	EventTime    time.Time `json:"eventTime"`
	ErrorCode    string    `json:"errorCode"`
	UserIdentity Identity  `json:"userIdentity"`
}

// Evicted reports whether EC2 took a spot instance back.
func (e Event) Evicted() bool { return e.EventName == evicted }

// Parse reads the record of an event, which CloudTrail lists under a name and that of a user. Those
// of calls that were refused say nothing.
func Parse(name, user, record string) (Event, error) {
	if !slices.Contains(endings, name) {
		return Event{}, ErrNoEnding
	}
	var e Event
	if err := json.Unmarshal([]byte(record), &e); err != nil {
		return Event{}, err
	}
	if e.ErrorCode != "" || e.EventName != name {
		return Event{}, ErrNoEnding
	}
	e.UserIdentity.shown = user
	return e, nil
}

// Decisive returns the event that ended the instance: the most decisive, the latest of its kind;
// nil if there is none.
func Decisive(all []Event) *Event {
	var best *Event
	for i := range all {
		if best == nil || weighs(all[i], *best) {
			best = &all[i]
		}
	}
	return best
}

func weighs(e, than Event) bool {
	a, b := slices.Index(endings, e.EventName), slices.Index(endings, than.EventName)
	return a < b || a == b && e.EventTime.After(than.EventTime)
}
