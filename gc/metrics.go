package gc

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Names of the metrics.
const (
	MetricTerminated = "epitaph_gc_pods_terminated_total"
	MetricErrors     = "epitaph_gc_pod_errors_total"
	MetricAnnotated  = "epitaph_gc_pods_annotated_total"
	MetricWaiting    = "epitaph_gc_pods_waiting"
	MetricHeld       = "epitaph_gc_nodes_held"
)

// Names of the queues, which are labels of client-go's own metrics.
const (
	// QueueSubjects is the queue of what to examine, QueuePods that of the pods to work on.
	QueueSubjects = "gc-subjects"
	QueuePods     = "gc-pods"
)

type metrics struct {
	terminated *prometheus.CounterVec
	errors     *prometheus.CounterVec
	annotated  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, waiting, held func() int) (*metrics, error) {
	m := &metrics{
		terminated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricTerminated,
			Help: "Pods failed and deleted, by cause (as the built-in collector's reasons) and code of the reason.",
		}, []string{"cause", "code"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricErrors,
			Help: "Attempts to take a pod up that failed and are repeated, by cause.",
		}, []string{"cause"}),
		annotated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricAnnotated, Help: "Terminating pods that were given a reason, by code.",
		}, []string{"code"}),
	}
	depth := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: MetricWaiting, Help: "Pods that wait for their turn.",
	}, func() float64 { return float64(waiting()) })
	holding := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: MetricHeld, Help: "Nodes that are gone unexplained and whose pods the brake holds.",
	}, func() float64 { return float64(held()) })
	err := errors.Join(r.Register(m.terminated), r.Register(m.errors), r.Register(m.annotated),
		r.Register(depth), r.Register(holding))
	if err != nil {
		return nil, fmt.Errorf("register the collector's metrics: %w", err)
	}
	return m, nil
}

// label bounds the number of label values: codes that Epitaph does not know count as "other".
func label(c reason.Code) string {
	if c.Known() {
		return string(c)
	}
	return "other"
}
