package reports

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// MetricReports is the name of the metric.
const MetricReports = "epitaph_audit_reports_total"

func newMetric(r prometheus.Registerer) (*prometheus.CounterVec, error) {
	m := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: MetricReports, Help: "Reconciliations of reports of findings, by outcome.",
	}, []string{"outcome"})
	if err := r.Register(m); err != nil {
		return nil, fmt.Errorf("register the metric of the reports: %w", err)
	}
	for _, o := range outcomes {
		m.WithLabelValues(string(o)) // an alert on an increase needs the zero before it
	}
	return m, nil
}
