package webhook

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// An alert on the increase of faults sees the first one only if there was a zero before it.
func TestFaultsBeginWithZero(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	if _, err := newMetrics(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == MetricDuration &&
				m.GetLabel()[0].GetValue() == string(actionFault) &&
				m.GetHistogram().GetSampleCount() == 0 {
				return
			}
		}
	}
	t.Errorf("%s has no series of %s", MetricDuration, actionFault)
}
