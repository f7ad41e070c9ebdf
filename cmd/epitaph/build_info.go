package main

import (
	"fmt"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// metricBuildInfo is the name of the metric.
const metricBuildInfo = "epitaph_build_info"

// registerBuildInfo adds the metric that says which build runs, by its labels.
func registerBuildInfo(r prometheus.Registerer) error {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: metricBuildInfo, Help: "1, for the version of Epitaph that runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	info.Set(1)
	if err := r.Register(info); err != nil {
		return fmt.Errorf("register %s: %w", metricBuildInfo, err)
	}
	return nil
}
