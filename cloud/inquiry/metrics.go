package inquiry

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

// The names of the metrics.
const (
	MetricAsked = "epitaph_cloud_questions_total"
	MetricTook  = "epitaph_cloud_question_seconds"
)

// An outcome is what became of a question: one word, in the metric and in the log.
type outcome string

const (
	answered  outcome = "answered"
	unknown   outcome = "unknown"   // the cloud does not know
	early     outcome = "early"     // it does not know yet
	throttled outcome = "throttled" // it wants to be asked later
	foreign   outcome = "foreign"   // the instance is not of this cloud
	failed    outcome = "failed"
)

func outcomeOf(answer v1alpha1.CloudAnswer, err error) outcome {
	switch {
	case err == nil && answer.What != "":
		return answered
	case err == nil:
		return unknown
	case errors.Is(err, explain.ErrNotYet):
		return early
	case errors.Is(err, explain.ErrNotOurs):
		return foreign
	case explain.After(err) > 0:
		return throttled
	default:
		return failed
	}
}

type metrics struct {
	asked *prometheus.CounterVec
	took  *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{Name: MetricAsked,
			Help: "Questions that clouds were asked, by cloud and outcome."},
			[]string{"cloud", "outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: MetricTook,
			Help:    "How long a cloud took to answer.",
			Buckets: []float64{.1, .5, 1, 2, 5, 10, 30}}, []string{"cloud"}),
	}
	for _, c := range []prometheus.Collector{m.asked, m.took} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of the inquiry: %w", err)
		}
	}
	return m, nil
}
