package aws

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	lookUpCall = "cloudtrail:LookupEvents"
	// lag is how far the log may lag behind
	// (docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html).
	lag = 15 * time.Minute
	// before and after bound when the call was that ended an instance, around the end of its Node:
	// one may be stopped hours before the Node is deleted.
	before = 24 * time.Hour
	after  = 15 * time.Minute
	// maxPages of pageSize events are read: an instance has a few.
	maxPages = 3
	pageSize = 50
)

// endings are the events that end an instance, the most decisive first. BidEvictedEvent is EC2's
// own (docs.aws.amazon.com/AWSEC2/latest/UserGuide/
// monitor-spot-instance-interruptions-with-cloudtrail.html).
var endings = []string{evicted, "TerminateInstances", "StopInstances", "RebootInstances"}

const evicted = "BidEvictedEvent"

// lookUp asks CloudTrail who ended the instance.
func (q *inquiry) lookUp(ctx context.Context) {
	events, err := q.events(ctx)
	if err != nil {
		q.Failed(failure(lookUpCall, err))
	} else {
		q.Answered(lookUpCall)
	}
	e := decisive(events)
	if e == nil {
		if q.clock.Since(q.Gone) < lag {
			q.Later()
		}
		return
	}
	q.accuse(e)
}

// accuse sets who did it.
func (q *inquiry) accuse(e *event) {
	what, by := reason.EvidenceTerminated, e.UserIdentity.name()
	if s, own := services()[e.UserIdentity.InvokedBy]; own {
		what, by = s.What, s.Service
	}
	if e.EventName == evicted {
		what, by = reason.EvidenceSpot, "Amazon EC2"
	}
	q.Happened(what, by)
	q.At(e.EventTime)
	q.Detail(e.EventName + " by " + by)
}

// events returns the events of the instance, as far as maxPages reach. With an error come those
// that were read before it.
func (q *inquiry) events(ctx context.Context) ([]event, error) {
	pages := cloudtrail.NewLookupEventsPaginator(q.trail, &cloudtrail.LookupEventsInput{
		LookupAttributes: []types.LookupAttribute{{
			AttributeKey:   types.LookupAttributeKeyResourceName,
			AttributeValue: aws.String(q.instance),
		}},
		StartTime:  aws.Time(q.Gone.Add(-before)),
		EndTime:    aws.Time(q.Gone.Add(after)),
		MaxResults: aws.Int32(pageSize),
	}, func(o *cloudtrail.LookupEventsPaginatorOptions) { o.StopOnDuplicateToken = true })
	var all []event
	for n := 0; n < maxPages && pages.HasMorePages(); n++ {
		if err := q.pace.Wait(ctx); err != nil {
			return all, err
		}
		page, err := pages.NextPage(ctx)
		if err != nil {
			return all, err
		}
		for _, e := range page.Events {
			if read, err := eventOf(e); err == nil {
				all = append(all, read)
			}
		}
	}
	return all, nil
}

// An event is a record of CloudTrail
// (docs.aws.amazon.com/awscloudtrail/latest/userguide/
// cloudtrail-event-reference-record-contents.html).
type event struct {
	EventName    string    `json:"eventName"`
	EventTime    time.Time `json:"eventTime"`
	ErrorCode    string    `json:"errorCode"`
	UserIdentity identity  `json:"userIdentity"`
}

// eventOf reads an event. Those of calls that were refused say nothing.
func eventOf(e types.Event) (event, error) {
	if !slices.Contains(endings, aws.ToString(e.EventName)) {
		return event{}, errNoEnding
	}
	var read event
	if err := json.Unmarshal([]byte(aws.ToString(e.CloudTrailEvent)), &read); err != nil {
		return event{}, err
	}
	if read.ErrorCode != "" || read.EventName != aws.ToString(e.EventName) {
		return event{}, errNoEnding
	}
	read.UserIdentity.shown = aws.ToString(e.Username)
	return read, nil
}

var errNoEnding = errors.New("the event ended no instance")

// decisive returns the event that ended the instance: the first of endings, the latest of its kind;
// nil if there is none.
func decisive(all []event) *event {
	var best *event
	for i := range all {
		if best == nil || weighs(all[i], *best) {
			best = &all[i]
		}
	}
	return best
}

func weighs(e, than event) bool {
	a, b := slices.Index(endings, e.EventName), slices.Index(endings, than.EventName)
	return a < b || a == b && e.EventTime.After(than.EventTime)
}
