package audit

import (
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// MetricNodeFindings is the name of the metric.
	MetricNodeFindings = "epitaph_audit_node_findings_total"
	// MetricNodeObituaries is the name of the metric of the records of nodes.
	MetricNodeObituaries = "epitaph_audit_node_obituaries_total"
	// EventNodeUnexplained is the reason of the Event on a node that left unexplained.
	EventNodeUnexplained = "NodeUnexplained"
	// EventNodeUnrecorded is the reason of the Event on a node whose record was refused.
	EventNodeUnrecorded = "NodeUnrecorded"
	// MaxNoteBytes bounds the text of an Event (K8s v1.37 pkg/apis/core/validation/events.go).
	MaxNoteBytes = 1024
)

// RemoverKind is one of [RemoverKinds]: a bounded word for who deleted an object.
func RemoverKind(by string) string {
	switch {
	case by == reason.UnknownRemover || by == "":
		return "unknown"
	case reason.ActorOf(by, nil) == reason.Person:
		return "person"
	default:
		return "program"
	}
}

// RemoverKinds returns the values of [RemoverKind].
func RemoverKinds() []string { return []string{"person", "program", "unknown"} }

// An EventRecorder emits Events. The manager's is one.
type EventRecorder interface {
	Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any)
}

// A nodeOutcome is what became of the record of a node.
type nodeOutcome string

const (
	// nodeWritten: it was created.
	nodeWritten nodeOutcome = "written"
	// nodeReduced: it was created, without what the Node had said of itself.
	nodeReduced nodeOutcome = "reduced"
	// nodeRefused: the API server refuses it.
	nodeRefused nodeOutcome = "refused"
	// nodeNotInstalled: the API server does not have the kind.
	nodeNotInstalled nodeOutcome = "not-installed"
)

// NodeFindings reports nodes that leave without a reason, once for each, from the replica that is
// the first to write it down; and records that could not be written.
type NodeFindings struct {
	found   *prometheus.CounterVec
	records *prometheus.CounterVec
	events  EventRecorder
	log     logr.Logger
}

// NewNodeFindings registers the metrics. The log gets a line for each record.
func NewNodeFindings(r prometheus.Registerer, events EventRecorder,
	log logr.Logger) (*NodeFindings, error) {
	found := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: MetricNodeFindings,
		Help: "Nodes that were recorded to leave without a reason, by what is known of who deleted them.",
	}, []string{"by"})
	records := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: MetricNodeObituaries, Help: "Obituaries of nodes, by outcome.",
	}, []string{"outcome"})
	if err := errors.Join(r.Register(found), r.Register(records)); err != nil {
		return nil, fmt.Errorf("register the metrics of the records of nodes: %w", err)
	}
	for _, by := range RemoverKinds() {
		found.WithLabelValues(by) // an alert on an increase needs the zero before it
	}
	for _, became := range []nodeOutcome{nodeWritten, nodeReduced, nodeRefused, nodeNotInstalled} {
		records.WithLabelValues(string(became))
	}
	return &NodeFindings{found: found, records: records, events: events, log: log}, nil
}

func (f *NodeFindings) count(became nodeOutcome) {
	if f != nil {
		f.records.WithLabelValues(string(became)).Inc()
	}
}

// note logs a node that was just recorded, and reports it if it is a finding.
func (f *NodeFindings) note(o *v1alpha1.NodeObituary) {
	if f == nil {
		return
	}
	f.log.Info("node leaves", "node", o.Spec.NodeName, "uid", string(o.Spec.NodeUID), "code",
		o.Spec.Code, "class", o.Spec.Class, "by", o.Spec.By)
	if o.Spec.Class != reason.NoExplanation.String() {
		return
	}
	f.found.WithLabelValues(RemoverKind(o.Spec.By)).Inc()
	f.tell(o, EventNodeUnexplained, "Node "+o.Spec.NodeName+" leaves: "+o.Spec.Reason)
}
