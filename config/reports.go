package config

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// The APIs in which findings can be reported.
const (
	// OpenReports is openreports.io/v1alpha1.
	OpenReports = "OpenReports"
	// PolicyReport is wgpolicyk8s.io/v1alpha2, which came before it.
	PolicyReport = "PolicyReport"
)

// Reports configures the reports of findings for the tools that read such. They are off by default.
type Reports struct {
	// Enabled has reports written; the definitions of their format must be there.
	Enabled bool `json:"enabled"`
	// Format is the API that the tools read.
	Format string `json:"format" validate:"oneof=OpenReports PolicyReport"`
	// MaxResults is how many findings a report holds; the newest.
	MaxResults int `json:"maxResults" validate:"min=1,max=1000"`
	// Every is how often one report is written at most.
	Every metav1.Duration `json:"every" validate:"mindur=1s,maxdur=1h"`
}

func defaultReports() Reports {
	return Reports{Format: OpenReports, MaxResults: 100,
		Every: metav1.Duration{Duration: 15 * time.Second}}
}

// wrongs are what the reports lack: they are made of obituaries.
func (o Audit) wrongs() []wrong {
	switch {
	case !o.Reports.Enabled:
		return nil
	case !o.Enabled:
		return []wrong{{"audit.reports.enabled",
			"is true, and nothing is recorded: set audit.enabled to true, since reports are made of obituaries"}}
	case !slices.Contains(o.Classes, reason.NoExplanation.String()):
		return []wrong{{"audit.reports.enabled",
			"is true, and findings are not recorded: add unexplained to audit.classes"}}
	}
	return nil
}
