package aftermath

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// MetricSupplied is the name of the metric.
const MetricSupplied = "epitaph_aftermath_reasons_total"

type metrics struct{ nodes, records, pods prometheus.Counter }

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	supplied := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: MetricSupplied,
		Help: "Reasons that were supplied after the fact: of boots of nodes, of pods on record, and of pods that were still there.",
	}, []string{"of"})
	if err := r.Register(supplied); err != nil {
		return nil, fmt.Errorf("register the metrics of the aftermath: %w", err)
	}
	return &metrics{
		nodes: supplied.WithLabelValues("node"), records: supplied.WithLabelValues("record"),
		pods: supplied.WithLabelValues("pod"),
	}, nil
}
