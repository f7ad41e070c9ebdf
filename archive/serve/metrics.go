package serve

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

const metricRequests = "epitaph_archive_requests_total"

// The outcomes of a request.
const (
	answered  = "answered"
	anonymous = "anonymous"
	forbidden = "forbidden"
	wrong     = "wrong"
	busy      = "busy"
	failed    = "failed"
)

func newMetrics(r prometheus.Registerer) (*prometheus.CounterVec, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricRequests,
		Help: "Questions about the archive, by outcome."}, []string{"outcome"})
	if err := r.Register(requests); err != nil {
		return nil, fmt.Errorf("register the metric of questions: %w", err)
	}
	for _, outcome := range []string{answered, anonymous, forbidden, wrong, busy, failed} {
		requests.WithLabelValues(outcome)
	}
	return requests, nil
}
