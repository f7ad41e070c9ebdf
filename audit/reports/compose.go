package reports

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxBytes bounds the results of one report, as the API server stores them. etcd refuses objects
// above 1.5 MiB (its default), and who reads many reports reads all of each.
const maxBytes = 256 << 10

// A grading is what a finding means under the current configuration.
type grading struct {
	result v1alpha1.Result
	// max is how many results a report may have.
	max int
}

// compose makes a report of the newest findings, which must be sorted; all is the number of all
// findings. It has no results if there are none.
func compose(newest []v1alpha1.ReportResult, all int, g grading) *v1alpha1.Report {
	kept := fitting(newest, g.max)
	report := &v1alpha1.Report{
		Source:        source,
		Configuration: &v1alpha1.ReportConfiguration{Limits: v1alpha1.Limits{MaxResults: g.max}},
	}
	for _, r := range kept {
		r.Result, r.Scored = g.result, g.result == enforced
		report.Results = append(report.Results, r)
	}
	if g.result == enforced {
		report.Summary.Fail = len(kept)
	} else {
		report.Summary.Warn = len(kept)
	}
	if without := all - len(kept); without > 0 && len(kept) > 0 {
		report.Results = append(report.Results, note(kept[len(kept)-1], without))
		report.Summary.Skip = 1
	}
	return report
}

// fitting returns as many of the newest as there is room for.
func fitting(newest []v1alpha1.ReportResult, limit int) []v1alpha1.ReportResult {
	bytes := 0
	for n := range newest {
		encoded, err := json.Marshal(newest[n])
		bytes += len(encoded)
		if err != nil || n == limit || n > 0 && bytes > maxBytes {
			return newest[:n]
		}
	}
	return newest
}

// note says how many findings, older than the last one that is there, are left out. It has no
// subject.
func note(last v1alpha1.ReportResult, without int) v1alpha1.ReportResult {
	return v1alpha1.ReportResult{
		Source: source, Policy: policy, Rule: last.Rule, Category: category, Severity: "info",
		Result:    leftOut,
		Timestamp: metav1.Timestamp{Seconds: last.Timestamp.Seconds},
		Description: fmt.Sprintf(
			"%d older findings do not fit here; kubectl epitaph audit counts them all", without),
		Properties: map[string]string{"leftOut": strconv.Itoa(without)},
	}
}
