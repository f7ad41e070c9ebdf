package agent

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/agent/lastboot"
)

// Names of the metrics.
const (
	MetricTargets = "epitaph_agent_targets"
	MetricFaults  = "epitaph_agent_faults"
	MetricChanges = "epitaph_agent_target_changes_total"
	MetricEnds    = "epitaph_agent_last_boot"
)

type metrics struct {
	targets       prometheus.Gauge
	faults        *prometheus.GaugeVec
	made, removed prometheus.Counter
	ends          *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: MetricChanges, Help: "Netconsole targets that were made or removed.",
	}, []string{"change"})
	m := &metrics{
		targets: prometheus.NewGauge(prometheus.GaugeOpts{Name: MetricTargets,
			Help: "Listeners that the kernel speaks to."}),
		faults: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: MetricFaults,
			Help: "Faults that keep the kernel's last words, or some of them, from being heard, or a shutdown or the end of an instance from being explained, by code.",
		}, []string{"fault"}),
		ends: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: MetricEnds, Help: "1 for how the boot before this one ended.",
		}, []string{"ended"}),
		made: changes.WithLabelValues("made"), removed: changes.WithLabelValues("removed"),
	}
	for _, c := range fault.Codes() {
		m.faults.WithLabelValues(string(c))
	}
	if err := errors.Join(r.Register(m.targets), r.Register(m.faults), r.Register(changes),
		r.Register(m.ends)); err != nil {
		return nil, fmt.Errorf("register the agent's metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) observe(r Result) {
	m.targets.Set(float64(len(r.SpeaksTo)))
	count := map[fault.Code]int{}
	for _, f := range r.Faults {
		count[f.Code]++
	}
	for _, c := range fault.Codes() {
		m.faults.WithLabelValues(string(c)).Set(float64(count[c]))
	}
}

// end sets how the boot before this one ended; nil means that it is not known.
func (m *metrics) end(last *lastboot.End) {
	how := lastboot.Unknown
	if last != nil {
		how = last.How
	}
	for _, h := range lastboot.Ends() {
		value := 0.0
		if h == how {
			value = 1
		}
		m.ends.WithLabelValues(string(h)).Set(value)
	}
}
