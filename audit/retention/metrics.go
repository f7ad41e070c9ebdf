package retention

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// MetricExpired is the name of the metric.
const MetricExpired = "epitaph_audit_obituaries_expired_total"

// Label values: whose obituary was removed, and why.
const (
	ofPod    = "pod"
	ofNode   = "node"
	ofOwner  = "owner"
	byAge    = "age"
	byNumber = "number"
	// unarchived is for either, of what may not be archived.
	unarchived = "unarchived"
)

func newExpired(r prometheus.Registerer) (*prometheus.CounterVec, error) {
	expired := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: MetricExpired,
		Help: "Obituaries that were removed, by kind and by cause.",
	}, []string{"of", "by"})
	if err := r.Register(expired); err != nil {
		return nil, fmt.Errorf("register the metric of the retention: %w", err)
	}
	for _, of := range []string{ofPod, ofNode, ofOwner} {
		for _, by := range []string{byAge, byNumber, unarchived} {
			expired.WithLabelValues(of, by)
		}
	}
	return expired, nil
}
