package follow

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epitaph-k8s/epitaph/archive"
)

// The names of the metrics.
const (
	// MetricRecords counts revisions of records by kind and outcome.
	MetricRecords = "epitaph_archive_records_total"
	metricFailure = "epitaph_archive_failures_total"
	metricGaps    = "epitaph_archive_gaps_total"
	metricReached = "epitaph_archive_reached_timestamp_seconds"
)

// The outcomes.
const (
	stored  = "stored"
	refused = "refused"
)

type metrics struct {
	records        *prometheus.CounterVec
	failures, gaps *prometheus.CounterVec
	at             *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	m := metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: MetricRecords,
			Help: "Revisions of records that were archived, by kind and outcome."},
			[]string{"of", "outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricFailure,
			Help: "Times that records could not be read or archived, and were retried."},
			[]string{"of"}),
		gaps: prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricGaps,
			Help: "Times that the API server had forgotten what was archived last."},
			[]string{"of"}),
		at: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: metricReached,
			Help: "When the archive was last known to be complete; 0 if never."}, []string{"of"}),
	}
	for _, kind := range archive.Kinds() {
		for _, outcome := range []string{stored, refused} {
			m.records.WithLabelValues(string(kind), outcome)
		}
		m.failures.WithLabelValues(string(kind))
		m.gaps.WithLabelValues(string(kind))
		m.at.WithLabelValues(string(kind))
	}
	return m, errors.Join(r.Register(m.records), r.Register(m.failures), r.Register(m.gaps),
		r.Register(m.at))
}

func (m metrics) count(of archive.Kind, outcome string, n int) {
	m.records.WithLabelValues(string(of), outcome).Add(float64(n))
}

func (m metrics) failed(of archive.Kind) { m.failures.WithLabelValues(string(of)).Inc() }

func (m metrics) gap(of archive.Kind) { m.gaps.WithLabelValues(string(of)).Inc() }

func (m metrics) reached(of archive.Kind, now time.Time) {
	m.at.WithLabelValues(string(of)).Set(float64(now.UnixMilli()) / 1000)
}
