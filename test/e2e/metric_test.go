package e2e

import (
	"slices"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/epitaph-k8s/epitaph/webhook"
)

// metric reads the sum over all series of one of Epitaph's counters or gauges.
func (c *cluster) metric(t *testing.T, name string) float64 {
	t.Helper()
	return c.metricOf(t, name, "", "")
}

// decisions counts what the webhook has decided so.
func (c *cluster) decisions(t *testing.T, action string) float64 {
	t.Helper()
	return c.metricOf(t, webhook.MetricDecisions, "action", action)
}

// metricOf reads the sum over the series that have a label of that value, or over all if no label
// is named.
func (c *cluster) metricOf(t *testing.T, name, label, wanted string) float64 {
	t.Helper()
	sum := 0.0
	for _, m := range c.metrics(t)[name].GetMetric() {
		if label == "" || slices.ContainsFunc(m.GetLabel(),
			func(l *dto.LabelPair) bool { return l.GetName() == label && l.GetValue() == wanted }) {
			sum += value(m)
		}
	}
	return sum
}

// metrics reads all that the cluster's Epitaph serves.
func (c *cluster) metrics(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := c.Epitaph.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func value(m *dto.Metric) float64 { return m.GetCounter().GetValue() + m.GetGauge().GetValue() }
