package aws

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/epitaph-k8s/epitaph/cloud/aws/records"
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

// lookUp asks CloudTrail who ended the instance.
func (q *inquiry) lookUp(ctx context.Context) {
	events, err := q.events(ctx)
	if err != nil {
		q.Failed(failure(lookUpCall, err))
	} else {
		q.Answered(lookUpCall)
	}
	e := records.Decisive(events)
	if e == nil {
		if q.clock.Since(q.Gone) < lag {
			q.Later()
		}
		return
	}
	q.accuse(e)
}

// accuse sets who did it.
func (q *inquiry) accuse(e *records.Event) {
	what, by := reason.EvidenceTerminated, e.UserIdentity.Name()
	if s, own := services()[e.UserIdentity.InvokedBy]; own {
		what, by = s.What, s.Service
	}
	if e.Evicted() {
		what, by = reason.EvidenceSpot, "Amazon EC2"
	}
	q.Happened(what, by)
	q.At(e.EventTime)
	q.Detail(e.EventName + " by " + by)
}

// events returns the events of the instance, as far as maxPages reach. With an error come those
// that were read before it.
func (q *inquiry) events(ctx context.Context) ([]records.Event, error) {
	pages := cloudtrail.NewLookupEventsPaginator(q.trail, &cloudtrail.LookupEventsInput{
		LookupAttributes: []types.LookupAttribute{{
			AttributeKey:   types.LookupAttributeKeyResourceName,
			AttributeValue: aws.String(q.instance),
		}},
		StartTime:  aws.Time(q.Gone.Add(-before)),
		EndTime:    aws.Time(q.Gone.Add(after)),
		MaxResults: aws.Int32(pageSize),
	}, func(o *cloudtrail.LookupEventsPaginatorOptions) { o.StopOnDuplicateToken = true })
	var all []records.Event
	for n := 0; n < maxPages && pages.HasMorePages(); n++ {
		if err := q.pace.Wait(ctx); err != nil {
			return all, err
		}
		page, err := pages.NextPage(ctx)
		if err != nil {
			return all, err
		}
		for _, e := range page.Events {
			if read, err := records.Parse(aws.ToString(e.EventName), aws.ToString(e.Username),
				aws.ToString(e.CloudTrailEvent)); err == nil {
				all = append(all, read)
			}
		}
	}
	return all, nil
}
