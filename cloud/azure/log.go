package azure

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/monitor/armmonitor"
)

const (
	logCall = "Microsoft.Insights/eventtypes/values/read"
	// fields are what is asked for of an event.
	fields = "caller,claims,correlationId,eventTimestamp,operationName,properties,resourceId,status"
	// maxPages of events are read of one resource: the events of a scale set that a group moves
	// often.
	maxPages = 5
	// identityClaim names the resource of a managed identity.
	identityClaim = "xms_mirid"
)

// readLog asks the activity log who ended the machine, and reports whether it knows.
func (q *inquiry) readLog(ctx context.Context) bool {
	client, err := armmonitor.NewActivityLogsClient(q.subscription, q.credential, q.options)
	if err != nil {
		q.Failed(failure(logCall, err))
		return false
	}
	resources := []string{q.machine}
	if q.set != "" {
		resources = append(resources, q.set)
	}
	var all []*armmonitor.EventData
	for _, resource := range resources {
		found, err := q.events(ctx, client, resource)
		all = append(all, found...)
		if err != nil {
			q.Failed(failure(logCall, err))
			return q.accuse(all)
		}
	}
	q.Answered(logCall)
	return q.accuse(all)
}

// accuse sets who ended the machine, and reports whether that is known.
func (q *inquiry) accuse(all []*armmonitor.EventData) bool {
	c := q.decisive(all)
	if c == nil {
		return false
	}
	what := operations()[c.rank].What
	who := cmp.Or(c.who, "somebody unknown")
	if what == "" {
		what = calledBy(c.caller, c.identity)
	}
	q.Happened(what, who)
	q.At(c.at)
	q.Detail(c.name + " by " + who)
	return true
}

// events returns the events of a resource, as far as maxPages reach. With an error come those that
// were read before it.
func (q *inquiry) events(ctx context.Context, client *armmonitor.ActivityLogsClient,
	resource string) ([]*armmonitor.EventData, error) {
	pages := client.NewListPager(filter(resource, q.Gone.Add(-before), q.Gone.Add(after)),
		&armmonitor.ActivityLogsClientListOptions{Select: to.Ptr(fields)})
	var all []*armmonitor.EventData
	for n := 0; n < maxPages && pages.More(); n++ {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, page.Value...)
	}
	return all, nil
}

// filter asks for the events of a resource
// (learn.microsoft.com/rest/api/monitor/activity-logs/list). In OData a quote is doubled.
func filter(resource string, from, to time.Time) string {
	return "eventTimestamp ge '" + from.UTC().Format(time.RFC3339) + "' and eventTimestamp le '" +
		to.UTC().Format(time.RFC3339) + "' and resourceUri eq '" +
		strings.ReplaceAll(resource, "'", "''") + "'"
}

// A call is an operation that somebody asked for: several events, with one ID.
type call struct {
	rank                        int
	name, caller, identity, who string
	at                          time.Time
	failed                      bool
}

// decisive returns the call that ended the machine: the most decisive operation, the latest of its
// kind; nil if there is none.
func (q *inquiry) decisive(all []*armmonitor.EventData) *call {
	calls := map[string]*call{}
	for _, e := range all {
		if e == nil || !q.concerns(e) {
			continue
		}
		c, id := callOf(e), text(e.CorrelationID)
		if known := calls[id]; known != nil && known.rank == c.rank {
			c.failed = c.failed || known.failed
			if known.at.Before(c.at) {
				c.at = known.at
			}
		}
		calls[id] = c
	}
	var best *call
	for _, c := range calls {
		if !c.failed && (best == nil || c.rank < best.rank ||
			c.rank == best.rank && c.at.After(best.at)) {
			best = c
		}
	}
	return best
}

// concerns reports whether an event is about the machine. Calls to a scale set list the machines
// that they are about, or are about all.
func (q *inquiry) concerns(e *armmonitor.EventData) bool {
	if e.OperationName == nil || e.EventTimestamp == nil {
		return false
	}
	name := strings.ToLower(text(e.OperationName.Value))
	operation := rank(name)
	if operation < 0 {
		return false
	}
	if resource := strings.ToLower(text(e.ResourceID)); resource != q.set || q.set == "" {
		return resource == q.machine
	}
	var body struct{ InstanceIDs []string }
	err := json.Unmarshal([]byte(text(e.Properties["requestbody"])), &body)
	if err != nil || len(body.InstanceIDs) == 0 {
		// What ends some of a set ended these, and not the others: of whom such a record does not
		// name, it says nothing. To delete some takes their numbers, so it was cut then.
		return !operations()[operation].Some && !strings.HasSuffix(name, "/delete/action")
	}
	return slices.Contains(body.InstanceIDs, q.instance) || slices.Contains(body.InstanceIDs, "*")
}

// callOf reads the call that an event is of.
func callOf(e *armmonitor.EventData) *call {
	c := &call{rank: rank(text(e.OperationName.Value)), name: text(e.OperationName.Value),
		caller: text(e.Caller), identity: text(e.Claims[identityClaim]), at: *e.EventTimestamp}
	c.failed = e.Status != nil && strings.EqualFold(text(e.Status.Value), "Failed")
	// A managed identity calls as a number.
	c.who = cmp.Or(c.identity[strings.LastIndex(c.identity, "/")+1:], c.caller)
	return c
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
