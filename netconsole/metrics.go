package netconsole

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Names of the metrics.
const (
	MetricDatagrams    = "epitaph_netconsole_datagrams_total"
	MetricPanics       = "epitaph_netconsole_panics_total"
	MetricTrialSeconds = "epitaph_netconsole_trial_seconds"
	MetricStepSeconds  = "epitaph_netconsole_step_seconds"
	MetricRetries      = "epitaph_netconsole_step_retries_total"
	MetricDrops        = "epitaph_netconsole_socket_drops_total"
	MetricContested    = "epitaph_netconsole_contested_addresses"
)

type metrics struct {
	datagrams [outcomesEnd]prometheus.Counter
	panics    *prometheus.CounterVec
	trials    *prometheus.HistogramVec
	steps     *prometheus.HistogramVec
	retries   *prometheus.CounterVec
}

// buckets cover a write to the API server as well as the wait for one that is away.
var buckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// newMetrics creates all series that can exist, so that a rate over them is right from the first
// datagram on.
func newMetrics(r prometheus.Registerer, contested, drops func() float64) (*metrics, error) {
	datagrams := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: MetricDatagrams, Help: "Datagrams received, by outcome.",
	}, []string{"outcome"})
	m := &metrics{
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricPanics, Help: "Kernel panics heard, by verdict.",
		}, []string{"verdict"}),
		trials: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    MetricTrialSeconds,
			Help:    "Seconds from the datagram with the panic to the verdict, by verdict.",
			Buckets: buckets,
		}, []string{"verdict"}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    MetricStepSeconds,
			Help:    "Seconds from the datagram with the panic to the end of each step of the removal.",
			Buckets: buckets,
		}, []string{"step"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricRetries,
			Help: "Steps of removals that failed and were tried again, by step.",
		}, []string{"step"}),
	}
	shared := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: MetricContested,
		Help: "Addresses that several nodes claim; datagrams from there are refused.",
	}, contested)
	dropped := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: MetricDrops,
		Help: "Datagrams that the kernel dropped because the socket's buffer was full.",
	}, drops)
	for _, o := range allOutcomes() {
		m.datagrams[o] = datagrams.WithLabelValues(o.String())
	}
	for _, v := range verdicts {
		m.panics.WithLabelValues(string(v))
	}
	for _, s := range steps {
		m.steps.WithLabelValues(s.name)
		m.retries.WithLabelValues(s.name)
	}
	err := errors.Join(r.Register(datagrams), r.Register(m.panics), r.Register(m.trials),
		r.Register(m.steps), r.Register(m.retries),
		r.Register(dropped), r.Register(shared))
	if err != nil {
		return nil, fmt.Errorf("register netconsole's metrics: %w", err)
	}
	return m, nil
}
