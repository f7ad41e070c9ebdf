package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
	compute "google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/cloud/gcp/records"
)

const (
	call = "compute.zoneOperations.list"
	// before and after bound which operations may have ended the instance, around the end of its
	// Node. What begins later is another instance, or the same one that runs again.
	before = 24 * time.Hour
	after  = 15 * time.Minute
	// settle is how long after a Node's end its operation may yet have to appear.
	settle = 5 * time.Minute
	// maxPages of pageSize operations are read: an instance has a few.
	maxPages = 3
	pageSize = 100
	// maxWords bounds the body of an error that is not of the documented form.
	maxWords = 256
)

// Options say how Compute Engine is asked. The zero value asks as Application Default Credentials
// are set up: by Workload Identity, where a pod's service account has one.
type Options struct {
	// Endpoint, if set, is asked in place of Compute Engine: a URL with the path of the API,
	// …/compute/v1/.
	Endpoint string
	// HTTPClient, if set, sends the requests; its transport need not authenticate.
	HTTPClient *http.Client
	// Clock is the real one, unless set.
	Clock clock.PassiveClock
}

// An Asker asks Compute Engine.
type Asker struct {
	operations *compute.ZoneOperationsService
	clock      clock.PassiveClock
}

var _ explain.Asker = (*Asker)(nil)

// New finds the credentials, and asks nobody yet.
func New(ctx context.Context, o Options) (*Asker, error) {
	client := explain.Client(o.HTTPClient)
	// The client's own way to its credentials waits for a token however short the context is.
	credential, err := credentials.DetectDefault(&credentials.DetectOptions{
		Scopes: []string{compute.ComputeReadonlyScope}, Client: explain.Client(o.HTTPClient)})
	if err != nil {
		return nil, fmt.Errorf("find Google's credentials: %w", err)
	}
	if err := httptransport.AddAuthorizationMiddleware(client, credential); err != nil {
		return nil, fmt.Errorf("use Google's credentials: %w", err)
	}
	opts := []option.ClientOption{option.WithHTTPClient(client)}
	if o.Endpoint != "" {
		opts = append(opts, option.WithEndpoint(o.Endpoint))
	}
	service, err := compute.NewService(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("set up the client of Compute Engine: %w", err)
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Asker{operations: service.ZoneOperations, clock: o.Clock}, nil
}

// Cloud returns "gce", as provider IDs begin.
func (*Asker) Cloud() string { return "gce" }

// name is how answers call the cloud.
const name = "gcp"

// Ask asks for the operations that were about an instance. See [explain.Asker].
func (a *Asker) Ask(ctx context.Context, i explain.Instance) (v1alpha1.CloudAnswer, error) {
	id, err := parse(i.ProviderID)
	if err != nil {
		return v1alpha1.CloudAnswer{}, err
	}
	d := explain.NewDraft(name, a.clock.Now())
	all, err := a.list(ctx, id, i.Gone)
	if err != nil {
		d.Failed(failure(err))
		if len(all) == 0 {
			return d.Answer()
		}
	}
	d.Answered(call)
	e := records.EndOf(all, i.Gone)
	if e == nil {
		if a.clock.Since(i.Gone) < settle {
			d.Later()
		}
		d.Detail("no operation ended " + id.name)
		return d.Answer()
	}
	e.Tell(d)
	return d.Answer()
}

// list returns the operations about instances of this name around the time, as far as maxPages
// reach. With an error come those that were read before it.
func (a *Asker) list(ctx context.Context, id id, gone time.Time) ([]records.Operation, error) {
	// A filter by pattern allows no second condition
	// (docs.cloud.google.com/compute/docs/reference/rest/v1/zoneOperations/list). No character of
	// the zone and the name has a meaning in a pattern.
	request := a.operations.List(id.project, id.zone).Context(ctx).MaxResults(pageSize).
		Filter(`targetLink eq ".*/zones/` + id.zone + "/instances/" + id.name + `"`).
		OrderBy("creationTimestamp desc")
	var all []records.Operation
	for range maxPages {
		page, err := request.Do()
		if err != nil {
			return all, err
		}
		for _, o := range page.Items {
			read, ok := parseOperation(o)
			switch {
			case !ok || read.At.After(gone.Add(after)):
			case read.At.Before(gone.Add(-before)):
				return all, nil // they come newest first
			default:
				all = append(all, read)
			}
		}
		if page.NextPageToken == "" {
			break
		}
		request.PageToken(page.NextPageToken)
	}
	return all, nil
}

// parseOperation reads an operation. One that failed did nothing.
func parseOperation(o *compute.Operation) (records.Operation, bool) {
	if o == nil || o.Error != nil && len(o.Error.Errors) > 0 || o.HttpErrorStatusCode != 0 {
		return records.Operation{}, false
	}
	return records.Parse(records.Entry{OperationType: o.OperationType, InsertTime: o.InsertTime,
		User: o.User, StatusMessage: o.StatusMessage, TargetID: o.TargetId})
}

// failure says why there was no answer: in Google's words, if it replied.
func failure(err error) *explain.Failure {
	f := &explain.Failure{Call: call, Words: err.Error(), Err: err}
	var said *googleapi.Error
	if !errors.As(err, &said) {
		return f
	}
	f.Status, f.Words = said.Code, strconv.Itoa(said.Code)+": "+said.Message
	if said.Message == "" {
		f.Words += said.Body[:min(len(said.Body), maxWords)]
	}
	if seconds, err := strconv.ParseUint(said.Header.Get("Retry-After"), 10, 16); err == nil {
		f.Wait = time.Duration(seconds) * time.Second
	}
	f.Throttled = said.Code == http.StatusTooManyRequests
	for _, e := range said.Errors {
		// Quotas per minute are refused with 403
		// (docs.cloud.google.com/compute/docs/api/rate-limits).
		f.Throttled = f.Throttled || e.Reason == "rateLimitExceeded"
	}
	return f
}
