package azure

import (
	"context"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resourcegraph/armresourcegraph"

	"github.com/epitaph-k8s/epitaph/cloud/azure/records"
)

const (
	healthCall = "Microsoft.ResourceGraph/resources/read"
	// maxAnnotations is how many annotations are read, the latest.
	maxAnnotations = 50
)

// readHealth asks Resource Graph how the machine was, and reports whether that explains its end.
func (q *inquiry) readHealth(ctx context.Context) bool {
	all, err := q.annotations(ctx)
	if err != nil {
		q.Failed(failure(healthCall, err))
		return false
	}
	q.Answered(healthCall)
	a := records.EndOf(all, q.Gone)
	if a == nil {
		return false
	}
	q.Happened(a.What(), "")
	q.At(a.Occurred)
	q.Detail(a.Words())
	return !a.Called()
}

// annotations returns the machine's annotations, the latest first.
func (q *inquiry) annotations(ctx context.Context) ([]records.Annotation, error) {
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
	return records.Parse(reply.Data, maxAnnotations)
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
