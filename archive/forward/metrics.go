package forward

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epitaph-k8s/epitaph/archive/forward/endpoint"
)

// The names of the metrics.
const (
	// MetricRecords counts revisions of records by receiver and outcome.
	MetricRecords = "epitaph_archive_forwarded_total"
	metricFailure = "epitaph_archive_forward_failures_total"
	metricReached = "epitaph_archive_forward_reached_timestamp_seconds"
)

// The outcomes.
const (
	sent     = "sent"
	filtered = "filtered"
	refused  = "refused"
)

type metrics struct {
	records, failures *prometheus.CounterVec
	reached           *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer, receivers []Receiver) (metrics, error) {
	m := metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: MetricRecords,
			Help: "Revisions of records that a receiver has got, or not, by outcome."},
			[]string{"receiver", "outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricFailure,
			Help: "Requests to a receiver that failed, by cause."}, []string{"receiver", "because"}),
		reached: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: metricReached,
			Help: "When a receiver was last known to have got everything; 0 if never."},
			[]string{"receiver"}),
	}
	for _, receiver := range receivers {
		for _, outcome := range []string{sent, filtered, refused} {
			m.records.WithLabelValues(receiver.Name, outcome)
		}
		for _, cause := range endpoint.Causes() {
			m.failures.WithLabelValues(receiver.Name, string(cause))
		}
		m.reached.WithLabelValues(receiver.Name)
	}
	return m, errors.Join(r.Register(m.records), r.Register(m.failures), r.Register(m.reached))
}

func (m metrics) count(receiver, outcome string, n int) {
	m.records.WithLabelValues(receiver, outcome).Add(float64(n))
}

func (m metrics) failed(receiver string, because endpoint.Cause) {
	m.failures.WithLabelValues(receiver, string(because)).Inc()
}

func (m metrics) complete(receiver string, at time.Time) {
	m.reached.WithLabelValues(receiver).Set(float64(at.UnixMilli()) / 1000)
}
