// Package cloudevent sends records as CloudEvents 1.0 by HTTP, in structured mode: in binary mode,
// text of others would have to be escaped into headers, which receivers read differently.
package cloudevent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/forward"
	"github.com/epitaph-k8s/epitaph/archive/forward/endpoint"
)

const contentType = cloudevents.ApplicationCloudEventsJSON + "; charset=utf-8"

// schemas is where the schema of each kind of record is.
const schemas = "https://github.com/epitaph-k8s/epitaph/blob/main/charts/epitaph/crds/"

// A Sender sends one event in each request.
type Sender struct{ Endpoint *endpoint.Endpoint }

var _ forward.Sender = Sender{}

// Batch is 1.
func (Sender) Batch() int { return 1 }

// Send sends a record.
func (s Sender) Send(ctx context.Context, records []archive.Record) (forward.Outcome, error) {
	event, err := Of(records[0])
	if err != nil {
		return forward.Outcome{}, err
	}
	body, err := json.Marshal(event)
	if err != nil {
		return forward.Outcome{}, fmt.Errorf("encode the event: %w", err)
	}
	if _, err := s.Endpoint.Post(ctx, contentType, body); err != nil {
		return forward.Outcome{}, err
	}
	return forward.Outcome{Sent: 1}, nil
}

// Of returns the event of a record. Its data is the record as the API server had it.
func Of(r archive.Record) (cloudevents.Event, error) {
	e := cloudevents.New()
	s, err := forward.Summarize(r)
	if err != nil {
		return e, err
	}
	e.SetID(forward.ID(r))
	e.SetSource("https://epitaph-k8s.io/clusters/" + url.PathEscape(r.Cluster))
	e.SetType(forward.Event(r, s))
	e.SetSubject(subject(r))
	e.SetTime(r.Removed)
	e.SetDataSchema(schemas + schemaFiles[r.Kind])
	for name, value := range map[string]string{"cluster": r.Cluster, "code": r.Code,
		"class": r.Class} {
		if value != "" {
			e.SetExtension(name, value)
		}
	}
	// As bytes it would be sent in base64.
	if err := e.SetData(cloudevents.ApplicationJSON, json.RawMessage(r.Document)); err != nil {
		return e, fmt.Errorf("make an event of the record: %w", err)
	}
	if err := e.Validate(); err != nil {
		return e, fmt.Errorf("make an event of the record: %w", err)
	}
	return e, nil
}

var schemaFiles = map[archive.Kind]string{
	archive.PodKind:   "epitaph-k8s.io_podobituaries.yaml",
	archive.NodeKind:  "epitaph-k8s.io_nodeobituaries.yaml",
	archive.OwnerKind: "epitaph-k8s.io_ownerobituaries.yaml",
}

// subject is the path of what left, as the API server has them.
func subject(r archive.Record) string {
	name := url.PathEscape(r.Name)
	if r.Kind == archive.NodeKind {
		return "nodes/" + name
	}
	what := "pods/"
	if r.Kind == archive.OwnerKind {
		what = "owners/"
	}
	if r.Namespace == "" {
		return what + name
	}
	return "namespaces/" + url.PathEscape(r.Namespace) + "/" + what + name
}
