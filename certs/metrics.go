package certs

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// MetricExpiry is the name of the metric.
const MetricExpiry = "epitaph_certificate_expiry_timestamp_seconds"

// Register adds the metric; it is 0 while there is no certificate.
func (s *Serving) Register(r prometheus.Registerer) error {
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: MetricExpiry, Help: "When the certificate that the webhook serves expires, in seconds since 1970; 0 while there is none.",
	}, func() float64 {
		served, err := s.Current()
		if err != nil {
			return 0
		}
		return float64(served.Leaf.NotAfter.Unix())
	})
	if err := r.Register(gauge); err != nil {
		return fmt.Errorf("register the certificate's metric: %w", err)
	}
	return nil
}
