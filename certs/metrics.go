package certs

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// The names of the metrics.
const (
	MetricExpiry  = "epitaph_certificate_expiry_timestamp_seconds"
	MetricReady   = "epitaph_certificate_ready"
	MetricRenewal = "epitaph_certificate_renewal_timestamp_seconds"
)

// Register adds the metric; it is 0 while there is no certificate.
func (s *Serving) Register(r prometheus.Registerer) error {
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: MetricExpiry,
		Help: "When the certificate that the webhook serves expires, in seconds since 1970; 0 while there is none.",
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

var (
	readyMetric = prometheus.NewDesc(MetricReady,
		"Whether cert-manager calls the Certificate ready: 1 it does, 0 it does not, -1 it cannot be read.", []string{"name"}, nil)
	renewalMetric = prometheus.NewDesc(MetricRenewal,
		"When cert-manager will renew the Certificate, in seconds since 1970; absent while it has not said.", []string{"name"}, nil)
)

// Register adds the metrics; one of a Certificate that was not looked at yet is absent.
func (i *Issuance) Register(r prometheus.Registerer) error {
	if err := r.Register(i); err != nil {
		return fmt.Errorf("register the metrics of Certificates: %w", err)
	}
	return nil
}

// Describe lists the metrics.
func (i *Issuance) Describe(to chan<- *prometheus.Desc) {
	to <- readyMetric
	to <- renewalMetric
}

// Collect sends the state of the Certificates as they were last read.
func (i *Issuance) Collect(to chan<- prometheus.Metric) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for name, is := range i.certificates {
		to <- prometheus.MustNewConstMetric(readyMetric, prometheus.GaugeValue, is.ready, name)
		if !is.renewal.IsZero() {
			to <- prometheus.MustNewConstMetric(renewalMetric, prometheus.GaugeValue,
				float64(is.renewal.Unix()), name)
		}
	}
}
