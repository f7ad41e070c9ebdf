package webhook

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Names of the metrics.
const (
	MetricDecisions = "epitaph_webhook_decisions_total"
	MetricDuration  = "epitaph_webhook_duration_seconds"
	MetricMalformed = "epitaph_webhook_malformed_reviews_total"
	MetricWritten   = "epitaph_webhook_promise_duration_seconds"
)

type metrics struct {
	decisions *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	malformed prometheus.Counter
	// writtenAfter observes how long it took to write promised reasons.
	writtenAfter prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricDecisions,
			Help: "Deletions decided, by resource, action, rule and code of the reason.",
		}, []string{"resource", "action", "rule", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: MetricDuration, Help: "Seconds from a review's arrival to its answer, by action.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"action"}),
		malformed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: MetricMalformed, Help: "Requests that could not be read as an AdmissionReview.",
		}),
	}
	m.writtenAfter = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    MetricWritten,
		Help:    "Seconds from the answer about a pod that goes on terminating until its reason was written.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	})
	err := errors.Join(r.Register(m.decisions), r.Register(m.duration), r.Register(m.malformed),
		r.Register(m.writtenAfter))
	if err != nil {
		return nil, fmt.Errorf("register the webhook's metrics: %w", err)
	}
	// An alert on an increase needs the zero before it.
	m.duration.WithLabelValues(string(actionFault))
	return m, nil
}

// observe counts an outcome. A code that is not ours counts as "other", to bound the labels.
func (m *metrics) observe(resource string, o outcome, took time.Duration) {
	if resource != "pods" && resource != "nodes" && resource != ownersResource {
		resource = "other"
	}
	code := string(o.reason.Code)
	if code != "" && !o.reason.Code.Known() {
		code = "other"
	}
	m.decisions.WithLabelValues(resource, string(o.action), o.rule, code).Inc()
	m.duration.WithLabelValues(string(o.action)).Observe(took.Seconds())
}
