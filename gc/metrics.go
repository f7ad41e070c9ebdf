package gc

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Names of the metrics.
const (
	MetricTerminated  = "epitaph_gc_pods_terminated_total"
	MetricErrors      = "epitaph_gc_pod_errors_total"
	MetricAnnotated   = "epitaph_gc_pods_annotated_total"
	MetricWaiting     = "epitaph_gc_pods_waiting"
	MetricQuarantined = "epitaph_gc_nodes_quarantined"
	MetricHeld        = "epitaph_gc_nodes_held"
)

type metrics struct {
	terminated  *prometheus.CounterVec
	errors      *prometheus.CounterVec
	annotated   *prometheus.CounterVec
	quarantined prometheus.Gauge
	held        prometheus.Gauge
}

func newMetrics(r prometheus.Registerer, waiting func() int) (*metrics, error) {
	m := &metrics{
		terminated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricTerminated, Help: "Pods failed and deleted, by cause (as the built-in collector's reasons) and code of the reason.",
		}, []string{"cause", "code"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricErrors, Help: "Attempts to take a pod up that failed and are repeated, by cause.",
		}, []string{"cause"}),
		annotated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricAnnotated, Help: "Terminating pods that were given a reason, by code.",
		}, []string{"code"}),
		quarantined: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: MetricQuarantined, Help: "Nodes that are gone unexplained and whose pods wait for them to come back.",
		}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: MetricHeld, Help: "Nodes that are gone unexplained and whose pods the brake holds.",
		}),
	}
	depth := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: MetricWaiting, Help: "Pods that wait for their turn.",
	}, func() float64 { return float64(waiting()) })
	err := errors.Join(r.Register(m.terminated), r.Register(m.errors), r.Register(m.annotated), r.Register(m.quarantined), r.Register(m.held), r.Register(depth))
	if err != nil {
		return nil, fmt.Errorf("register the collector's metrics: %w", err)
	}
	return m, nil
}

// label bounds the codes: one that somebody else invented is counted as "other".
func label(c reason.Code) string {
	if c.Known() {
		return string(c)
	}
	return "other"
}
