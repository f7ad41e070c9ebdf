package audit

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// Unseen stands for whoever deleted an object where nobody saw who it was.
	Unseen = "an unknown remover"
	// MetricNodeFindings is the name of the metric.
	MetricNodeFindings = "epitaph_audit_node_findings_total"
	// EventNodeUnexplained is the reason of the Event.
	EventNodeUnexplained = "NodeUnexplained"
	// MaxNoteBytes bounds the text of an Event (K8s v1.37 pkg/apis/core/validation/events.go).
	MaxNoteBytes = 1024
)

// RemoverOf is one of [Removers]: a bounded word for who deleted an object.
func RemoverOf(by string) string {
	switch {
	case by == Unseen || by == "":
		return "unknown"
	case reason.ActorOf(by, nil) == reason.Person:
		return "person"
	default:
		return "program"
	}
}

// Removers are the words of [RemoverOf].
func Removers() []string { return []string{"person", "program", "unknown"} }

// An EventRecorder emits Events. The manager's is one.
type EventRecorder interface {
	Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any)
}

// NodeFindings tells of nodes that leave without a reason: once for each, by the replica that is the first to write it down.
type NodeFindings struct {
	found  *prometheus.CounterVec
	events EventRecorder
}

// NewNodeFindings registers the metric.
func NewNodeFindings(r prometheus.Registerer, events EventRecorder) (*NodeFindings, error) {
	found := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: MetricNodeFindings, Help: "Nodes that were recorded to leave without a reason, by what is known of who deleted them.",
	}, []string{"by"})
	if err := r.Register(found); err != nil {
		return nil, fmt.Errorf("register the metric of the findings of nodes: %w", err)
	}
	for _, by := range Removers() {
		found.WithLabelValues(by) // an alert on an increase needs the zero before it
	}
	return &NodeFindings{found: found, events: events}, nil
}

// note tells of a node that was just recorded, if it is a finding.
func (f *NodeFindings) note(o *v1alpha1.NodeObituary) {
	if f == nil || o.Spec.Class != reason.NoExplanation.String() {
		return
	}
	f.found.WithLabelValues(RemoverOf(o.Spec.By)).Inc()
	about := &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: o.Spec.NodeName, UID: o.Spec.NodeUID}
	text := reason.CleanTo("Node "+o.Spec.NodeName+" leaves: "+o.Spec.Reason, MaxNoteBytes)
	f.events.Eventf(about, nil, corev1.EventTypeWarning, EventNodeUnexplained, "RecordObituary", "%s", text)
}
