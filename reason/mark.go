package reason

import (
	"errors"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Mark is something that a component leaves on a Node or a Pod. Exactly one of Condition, Taint,
// Label, Annotation and Unschedulable is set; the other fields narrow it.
type Mark struct {
	// Condition is the type of a condition.
	Condition Pattern `json:"condition,omitzero"`
	// Status that the condition must have.
	Status corev1.ConditionStatus `json:"status,omitempty" validate:"omitempty,oneof=True False Unknown"`
	// Reasons, if there are any, are those of the condition that count.
	Reasons []Pattern `json:"reasons,omitempty"`
	// Message, if set, is a pattern for the condition's message.
	Message Pattern `json:"message,omitzero"`
	// Taint, Label and Annotation are keys.
	Taint      Pattern `json:"taint,omitzero"`
	Label      Pattern `json:"label,omitzero"`
	Annotation Pattern `json:"annotation,omitzero"`
	// Effect, if set, is that of the taint.
	Effect corev1.TaintEffect `json:"effect,omitempty" validate:"omitempty,oneof=NoSchedule PreferNoSchedule NoExecute"`
	// Value, if set, is a pattern for the value of the taint, label or annotation.
	Value Pattern `json:"value,omitzero"`
	// Unschedulable is a cordon.
	Unschedulable bool `json:"unschedulable,omitempty"`
}

// Errors of a mark.
var (
	errNotOne = errors.New(
		"exactly one of condition, taint, label, annotation and unschedulable must be set")
	errNoStatus  = errors.New("a condition needs the status to look for: True, False or Unknown")
	errCondition = errors.New("status, reasons and message go with a condition")
	errKey       = errors.New(
		"effect goes with a taint, and value with a taint, a label or an annotation")
)

// Check returns an error if the mark's fields do not go together.
func (m Mark) Check() error {
	set, keys := 0, 0
	for _, p := range []Pattern{m.Taint, m.Label, m.Annotation} {
		if !p.IsZero() {
			keys++
		}
	}
	condition := !m.Condition.IsZero()
	for _, is := range []bool{condition, m.Unschedulable} {
		if is {
			set++
		}
	}
	switch {
	case set+keys != 1:
		return errNotOne
	case condition && m.Status == "":
		return errNoStatus
	case !condition && (m.Status != "" || len(m.Reasons) > 0 || !m.Message.IsZero()):
		return errCondition
	case m.Effect != "" && m.Taint.IsZero(), !m.Value.IsZero() && keys == 0:
		return errKey
	}
	return nil
}

// A sighting is a mark that was found, in words.
type sighting struct {
	node, kind, status, reason, message, value string
	owner, object                              string
	groups                                     []string
	condition                                  bool
	since                                      metav1.Time
}

// onNode finds the mark on a Node.
func (m Mark) onNode(node *corev1.Node) (sighting, bool) {
	if m.Unschedulable {
		return sighting{node: node.Name, kind: "cordoned"}, node.Spec.Unschedulable
	}
	if !m.Taint.IsZero() {
		for _, t := range node.Spec.Taints {
			if m.Taint.Matches(t.Key) && (m.Effect == "" || m.Effect == t.Effect) &&
				m.Value.Matches(t.Value) {
				return sighting{node: node.Name, kind: t.Key, value: t.Value,
					groups: m.Value.groups(t.Value)}, true
			}
		}
		return sighting{}, false
	}
	if s, ok := m.onMetadata(node.Labels, node.Annotations); ok {
		s.node = node.Name
		return s, true
	}
	for _, c := range node.Status.Conditions {
		if s, ok := m.inCondition(string(c.Type), c.Status, c.Reason, c.Message,
			c.LastTransitionTime); ok {
			s.node = node.Name
			return s, true
		}
	}
	return sighting{}, false
}

// onPod finds the mark on a Pod.
func (m Mark) onPod(pod *corev1.Pod) (sighting, bool) {
	if s, ok := m.onMetadata(pod.Labels, pod.Annotations); ok {
		s.node = pod.Spec.NodeName
		return s, true
	}
	for _, c := range pod.Status.Conditions {
		if s, ok := m.inCondition(string(c.Type), c.Status, c.Reason, c.Message,
			c.LastTransitionTime); ok {
			s.node = pod.Spec.NodeName
			return s, true
		}
	}
	return sighting{}, false
}

func (m Mark) inCondition(kind string, status corev1.ConditionStatus, reason, message string,
	since metav1.Time) (sighting, bool) {
	if m.Condition.IsZero() || !m.Condition.Matches(kind) || status != m.Status ||
		!anyMatches(m.Reasons, reason) || !m.Message.Matches(message) {
		return sighting{}, false
	}
	return sighting{
		kind: kind, status: string(status), reason: reason, message: message,
		groups: m.Message.groups(message), condition: true, since: since,
	}, true
}

// onMetadata finds a label or an annotation. If several keys match, the first in alphabetical order
// counts.
func (m Mark) onMetadata(labels, annotations map[string]string) (sighting, bool) {
	key, all := m.Label, labels
	if key.IsZero() {
		key, all = m.Annotation, annotations
	}
	var found sighting
	if key.IsZero() {
		return found, false
	}
	for k, v := range all {
		if key.Matches(k) && m.Value.Matches(v) && (found.kind == "" || k < found.kind) {
			found = sighting{kind: k, value: v, groups: m.Value.groups(v)}
		}
	}
	return found, found.kind != ""
}

// words fills the gap of a sentence: with the detail, or with the kind of the mark and what its
// emitter adds.
func (s sighting) words(detail string) string {
	if detail == "" {
		return joined(s.kind, s.reason+s.value)
	}
	fill := []string{
		"{type}", s.kind, "{status}", s.status, "{reason}", s.reason, "{message}", s.message,
		"{value}", s.value, "{node}", s.node, "{owner}", s.owner, "{object}", s.object,
	}
	for n, group := range s.groups {
		fill = append(fill, "{"+strconv.Itoa(n+1)+"}", group)
	}
	// An empty value leaves the colon before it behind.
	return strings.TrimSuffix(strings.TrimSpace(strings.NewReplacer(fill...).Replace(detail)), ":")
}
