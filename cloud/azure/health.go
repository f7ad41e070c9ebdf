package azure

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resourcegraph/armresourcegraph"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	healthCall = "Microsoft.ResourceGraph/resources/read"
	// maxAnnotations is how many annotations are read, the latest.
	maxAnnotations = 50
	// restarted is how long after a restart it no longer explains why a Node goes.
	restarted = 30 * time.Minute
)

// An annotation is a row of the table HealthResources
// (learn.microsoft.com/azure/virtual-machines/resource-graph-availability).
type annotation struct {
	Occurred time.Time `json:"occurred"`
	Name     string    `json:"annotation"`
	Reason   string    `json:"reason"`
	Summary  string    `json:"summary"`
	Context  string    `json:"context"`
	Category string    `json:"category"`
}

// readHealth asks Resource Graph how the machine was, and reports whether that explains its end.
func (q *inquiry) readHealth(ctx context.Context) bool {
	all, err := q.annotations(ctx)
	if err != nil {
		q.Failed(failure(healthCall, err))
		return false
	}
	q.Answered(healthCall)
	a := endOf(all, q.Gone)
	if a == nil {
		return false
	}
	kind := annotationKinds()[a.Name]
	q.Happened(kind.What, "")
	q.At(a.Occurred)
	q.Detail(a.words())
	return !kind.Called
}

// words are Azure's: "VirtualMachinePreempted, Platform Initiated, Unplanned: …".
func (a annotation) words() string {
	words := []string{a.Name}
	for _, w := range []string{a.Context, a.Category} {
		if w != "" && w != "Not Applicable" {
			words = append(words, w)
		}
	}
	said := a.Summary
	if said == "" {
		said = a.Reason
	}
	if said == "" {
		return strings.Join(words, ", ")
	}
	return strings.Join(words, ", ") + ": " + said
}

// annotations returns the machine's annotations, the latest first.
func (q *inquiry) annotations(ctx context.Context) ([]annotation, error) {
	reply, err := q.graph.Resources(ctx, armresourcegraph.QueryRequest{
		Query:         to.Ptr(query(q.machine)),
		Subscriptions: []*string{to.Ptr(q.subscription)},
		Options: &armresourcegraph.QueryRequestOptions{
			ResultFormat: to.Ptr(armresourcegraph.ResultFormatObjectArray),
			Top:          to.Ptr[int32](maxAnnotations),
		},
	}, nil)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(reply.Data)
	if err != nil {
		return nil, err
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(data, &rows); err != nil {
		return nil, err
	}
	var all []annotation
	for _, row := range rows[:min(len(rows), maxAnnotations)] {
		var a annotation
		if json.Unmarshal(row, &a) == nil { // one that has another form is none that we know
			all = append(all, a)
		}
	}
	return all, nil
}

// query asks for the annotations of a machine
// (learn.microsoft.com/azure/service-health/resource-graph-health-samples).
func query(machine string) string {
	return `HealthResources
| where type =~ 'microsoft.resourcehealth/resourceannotations'
| where tolower(tostring(properties.targetResourceId)) == ` + quoted(machine) + `
| project occurred = todatetime(properties.occurredTime),
    annotation = tostring(properties.annotationName), reason = tostring(properties.reason),
    summary = tostring(properties.summary), context = tostring(properties.context),
    category = tostring(properties.category)
| order by occurred desc`
}

// quoted returns a string as a literal of the Kusto Query Language
// (learn.microsoft.com/kusto/query/scalar-data-types/string).
func quoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`).Replace(s) + "'"
}

// endOf returns the annotation that tells how the machine ended whose Node was gone by then: the
// first after it last began to run, so that who removes what was preempted did not end it. It is
// nil if nothing is known. The latest annotations come first.
func endOf(all []annotation, gone time.Time) *annotation {
	var end *annotation
	for i := range all {
		a := &all[i]
		kind, known := annotationKinds()[a.Name]
		switch {
		case a.Occurred.After(gone.Add(after)) || !known:
		case a.Occurred.Before(gone.Add(-before)) || kind.Begins:
			return end
		case kind.Restarts && a.Occurred.Before(gone.Add(-restarted)):
			return end
		case kind.What == reason.EvidencePanic && end != nil && !kindOf(end).Called:
			// It crashed for the better reason that follows.
		default:
			end = a
		}
	}
	return end
}

func kindOf(a *annotation) annotationKind { return annotationKinds()[a.Name] }
