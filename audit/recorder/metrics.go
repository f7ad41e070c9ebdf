package recorder

import (
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Names of the metrics.
const (
	MetricLeft       = "epitaph_audit_pods_left_total"
	MetricFindings   = "epitaph_audit_findings_total"
	MetricObituaries = "epitaph_audit_obituaries_total"
	MetricRetries    = "epitaph_audit_write_retries_total"
	MetricLag        = "epitaph_audit_lag_seconds"
	MetricWaiting    = "epitaph_audit_pods_waiting"
	MetricGaps       = "epitaph_audit_gaps_total"
)

// Outcomes of a gap in the watch.
const (
	gapBridged = "bridged"
	gapLost    = "lost"
)

type metrics struct {
	left       *prometheus.CounterVec
	findings   *prometheus.CounterVec
	obituaries *prometheus.CounterVec
	retries    prometheus.Counter
	lag        prometheus.Histogram
	gaps       *prometheus.CounterVec

	namespaces namespaces
}

// other stands for codes and namespaces without a series of their own.
const other = "other"

// namespaces are those with series of their own. Anybody who may create namespaces could make any
// number of series otherwise.
type namespaces struct {
	limit int // 0: namespaces are not told apart

	mu    sync.Mutex
	known map[string]bool
}

// label returns the value for a namespace: its name for the first ones that pods left from.
func (n *namespaces) label(namespace string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.known[namespace] && len(n.known) >= n.limit {
		return other
	}
	n.known[namespace] = true
	return namespace
}

// newMetrics registers the metrics. At most that many namespaces have series of their own.
func newMetrics(r prometheus.Registerer, ofNamespaces int, waiting func() int) (*metrics, error) {
	labels := []string{"code", "class", "reason"}
	if ofNamespaces > 0 {
		labels = append(labels, "namespace")
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		left: counters(MetricLeft,
			"Pods that left, by code and class, and where the reason comes from.", labels...),
		findings: counters(MetricFindings,
			"Pods that left without a reason, by what is known of who deleted them.", "by"),
		obituaries: counters(MetricObituaries,
			"Obituaries of pods, by outcome.", "outcome"),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: MetricRetries,
			Help: "Writes of obituaries that failed and are retried."}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: MetricLag, Help: "From the event of the deletion to the obituary.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}),
		gaps: counters(MetricGaps,
			"Gaps in the watch, by whether what left in them could be looked up.", "outcome"),
		namespaces: namespaces{limit: ofNamespaces, known: map[string]bool{}},
	}
	depth := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: MetricWaiting, Help: "Pods that are gone and wait to be recorded.",
	}, func() float64 { return float64(waiting()) })
	var err error
	for _, c := range []prometheus.Collector{m.left, m.findings, m.obituaries, m.retries, m.lag,
		m.gaps, depth} {
		err = errors.Join(err, r.Register(c))
	}
	if err != nil {
		return nil, fmt.Errorf("register the recorder's metrics: %w", err)
	}
	m.begin()
	return m, nil
}

// begin creates the series that alerts are about: an increase needs the zero before it.
func (m *metrics) begin() {
	for _, outcome := range []string{gapBridged, gapLost} {
		m.gaps.WithLabelValues(outcome)
	}
	for _, became := range []outcome{written, repeated, namespaceGone, handedOver, notInstalled,
		refused, panicked} {
		m.obituaries.WithLabelValues(string(became))
	}
	for _, by := range audit.RemoverKinds() {
		m.findings.WithLabelValues(by)
	}
}

// leave counts a pod of the namespace once.
func (m *metrics) leave(namespace string, why reason.Reason, from source) {
	code := other // one that somebody else invented
	if why.Code.Known() {
		code = string(why.Code)
	}
	labels := []string{code, why.Code.Class().String(), string(from)}
	if m.namespaces.limit > 0 {
		labels = append(labels, m.namespaces.label(namespace))
	}
	m.left.WithLabelValues(labels...).Inc()
	if from == none {
		m.findings.WithLabelValues(audit.RemoverKind(why.By)).Inc()
	}
}
