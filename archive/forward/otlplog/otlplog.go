// Package otlplog sends records as OpenTelemetry logs: OTLP 1.x by HTTP, in protobuf.
//
// It does not use OpenTelemetry's exporter: that keeps records in memory until some time later, and
// gives up after a while. Here a request is confirmed, or it is sent again.
package otlplog

import (
	"context"
	"fmt"
	"mime"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/forward"
	"github.com/epitaph-k8s/epitaph/archive/forward/endpoint"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	contentType = "application/x-protobuf"
	// scope names who writes the logs.
	scope = "github.com/epitaph-k8s/epitaph/archive/forward/otlplog"
	// batch is how many records are sent at once.
	batch = 50
)

// A Sender sends some records in each request.
type Sender struct {
	Endpoint *endpoint.Endpoint
	Clock    clock.PassiveClock
}

var _ forward.Sender = Sender{}

// Batch is how many records are sent at once.
func (Sender) Batch() int { return batch }

// Send sends records of one cluster.
func (s Sender) Send(ctx context.Context, records []archive.Record) (forward.Outcome, error) {
	request, err := s.request(records)
	if err != nil {
		return forward.Outcome{}, err
	}
	body, err := proto.Marshal(request)
	if err != nil {
		return forward.Outcome{}, fmt.Errorf("encode the logs: %w", err)
	}
	answer, err := s.Endpoint.Post(ctx, contentType, body)
	if err != nil {
		return forward.Outcome{}, err
	}
	return outcome(answer, len(records))
}

// outcome reads what a collector confirms. It may have rejected some: they must not be sent again.
func outcome(answer endpoint.Answer, n int) (forward.Outcome, error) {
	if len(answer.Body) == 0 {
		return forward.Outcome{Sent: n}, nil
	}
	var response collector.ExportLogsServiceResponse
	media, _, err := mime.ParseMediaType(answer.ContentType)
	if err != nil || media != contentType || proto.Unmarshal(answer.Body, &response) != nil {
		return forward.Outcome{}, &endpoint.Fault{Because: endpoint.Misconfigured,
			What: "the answer is none of an OTLP receiver: write its whole URL, which mostly ends with /v1/logs"}
	}
	partial := response.GetPartialSuccess()
	rejected := int(max(0, min(partial.GetRejectedLogRecords(), int64(n))))
	return forward.Outcome{Sent: n - rejected, Refused: rejected,
		Why: string(reason.Clean(partial.GetErrorMessage()))}, nil
}

func (s Sender) request(records []archive.Record) (*collector.ExportLogsServiceRequest, error) {
	written := make([]*logs.LogRecord, 0, len(records))
	for _, r := range records {
		l, err := s.log(r)
		if err != nil {
			return nil, err
		}
		written = append(written, l)
	}
	return &collector.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource: &resource.Resource{Attributes: attributes("service.name", "epitaph",
			"k8s.cluster.name", records[0].Cluster)},
		ScopeLogs: []*logs.ScopeLogs{{Scope: &common.InstrumentationScope{Name: scope},
			LogRecords: written}},
	}}}, nil
}

// log writes a record with the names of OpenTelemetry's semantic conventions, as far as there are.
func (s Sender) log(r archive.Record) (*logs.LogRecord, error) {
	told, err := forward.Summarize(r)
	if err != nil {
		return nil, err
	}
	severity := logs.SeverityNumber_SEVERITY_NUMBER_INFO
	if r.Class == reason.Disruption.String() || r.Class == reason.NoExplanation.String() {
		severity = logs.SeverityNumber_SEVERITY_NUMBER_WARN
	}
	all := attributes("log.record.uid", forward.ID(r), "k8s.namespace.name", r.Namespace,
		"k8s.node.name", r.Node, "epitaph.kind", string(r.Kind), "epitaph.code", r.Code,
		"epitaph.class", r.Class, "epitaph.by", told.By, "epitaph.record", string(r.Document))
	switch r.Kind {
	case archive.PodKind:
		all = append(all, attributes("k8s.pod.name", r.Name, "k8s.pod.uid", told.Subject)...)
	case archive.NodeKind:
		all = append(all, attributes("k8s.node.uid", told.Subject)...)
	case archive.OwnerKind:
		all = append(all,
			attributes("epitaph.owner.name", r.Name, "epitaph.owner.uid", told.Subject)...)
	}
	return &logs.LogRecord{TimeUnixNano: uint64(r.Removed.UnixNano()),
		ObservedTimeUnixNano: uint64(s.Clock.Now().UnixNano()), SeverityNumber: severity,
		SeverityText: r.Class, EventName: forward.Event(r, told), Body: text(told.Reason),
		Attributes: all}, nil
}

// attributes are names with their values; those without a value are left out.
func attributes(pairs ...string) (all []*common.KeyValue) {
	for n := 0; n < len(pairs); n += 2 {
		if pairs[n+1] != "" {
			all = append(all, &common.KeyValue{Key: pairs[n], Value: text(pairs[n+1])})
		}
	}
	return all
}

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}
