package reason

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An OwnerSignal is a rule that reads why a pod goes from an object that decides about it: one of
// its owners, or what a queue keeps of them. Owner signals are data: [DefaultOwnerSignals] come
// with the program, and the configuration's own precede them.
type OwnerSignal struct {
	// Of is the kind of the object, and how it belongs to the pod.
	Of Decider `json:"of"`
	// Condition is the type of a condition of the object. Status defaults to True; Reasons, if
	// there are any, are those that count.
	Condition Pattern                `json:"condition,omitzero"`
	Status    corev1.ConditionStatus `json:"status,omitempty" validate:"omitempty,oneof=True False Unknown"`
	Reasons   []Pattern              `json:"reasons,omitempty"`
	// Field, instead of a condition, is the path of a text in the object, such as status.phase;
	// Value is a pattern for it.
	Field string  `json:"field,omitempty" validate:"max=256"`
	Value Pattern `json:"value,omitzero"`
	// Words, if a field is read, is the path of the object's explanation, such as status.message.
	Words string `json:"words,omitempty" validate:"max=256"`
	// Deleting, instead of either, means that the object has a deletion timestamp.
	Deleting bool `json:"deleting,omitempty"`
	// Code that the signal leads to.
	Code Code `json:"code" validate:"required,anycode"`
	// Detail fills the gap of the code's sentence: a text in which {owner} stands for the pod's
	// controller, {object} for the object by kind and name, and {reason}, {message}, {value} for
	// what was found.
	Detail string `json:"detail,omitempty" validate:"max=256"`
	// Node is set if the pod's node is the cause: then the node's trouble, if there is any, is the
	// reason.
	Node bool `json:"node,omitempty"`
	// Source is the project (and version) that writes it.
	Source string `json:"source,omitempty"`
}

// A Decider is a kind of objects that decide about pods, and how one is found from a pod. Exactly
// one of Owner, Labelled, NamedByLabel and NamedByAnnotation is set. A kind that is not installed
// is skipped.
type Decider struct {
	// Group and Kind are those of the object.
	Group string `json:"group,omitempty" validate:"max=253"`
	Kind  string `json:"kind" validate:"required,max=63"`
	// Resource is its name in paths, for which the chart grants the right to read it.
	Resource string `json:"resource" validate:"required,max=63,dnslabel"`
	// Owner is set if it is one of the controllers above the pod.
	Owner bool `json:"owner,omitempty"`
	// Labelled is the key of a label of the object that holds the UID of the pod, or of one of the
	// controllers above it.
	Labelled string `json:"labelled,omitempty" validate:"max=317"`
	// NamedByLabel and NamedByAnnotation are keys under which the pod has the object's name.
	NamedByLabel      string `json:"namedByLabel,omitempty" validate:"max=317"`
	NamedByAnnotation string `json:"namedByAnnotation,omitempty" validate:"max=317"`
}

// Errors of an owner signal.
var (
	errNotOneWay = errors.New(
		"exactly one of owner, labelled, namedByLabel and namedByAnnotation must be set")
	errNotOneMark = errors.New("exactly one of condition, field and deleting must be set")
	errBeside     = errors.New("status and reasons go with a condition, value and words with a field")
)

// Check returns an error if the signal's fields do not go together.
func (s OwnerSignal) Check() error {
	ways := 0
	for _, is := range []bool{s.Of.Owner, s.Of.Labelled != "", s.Of.NamedByLabel != "",
		s.Of.NamedByAnnotation != ""} {
		if is {
			ways++
		}
	}
	marks := 0
	for _, is := range []bool{!s.Condition.IsZero(), s.Field != "", s.Deleting} {
		if is {
			marks++
		}
	}
	switch {
	case ways != 1:
		return errNotOneWay
	case marks != 1:
		return errNotOneMark
	case s.Condition.IsZero() && (len(s.Reasons) > 0 || s.Status != ""),
		s.Field == "" && (!s.Value.IsZero() || s.Words != ""):
		return errBeside
	}
	return nil
}

// An Object decides about a pod; it is as read from the API.
type Object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	// Content is the whole object.
	Content map[string]any `json:"-"`
}

// in returns the value at a path of the object.
func (o *Object) in(path ...string) any {
	var here any = o.Content
	for _, step := range path {
		within, _ := here.(map[string]any)
		here = within[step]
	}
	return here
}

// GroupKind returns the kind of the objects.
func (d Decider) GroupKind() Kind { return Kind{Group: d.Group, Kind: d.Kind} }

func (o *Object) is(d Decider) bool {
	return KindIn(o.APIVersion, o.Kind) == d.GroupKind()
}

var defaultOwnerSignals = load[OwnerSignal]("owners.yaml")

// DefaultOwnerSignals are what well-known queues and operators write on the objects that they
// decide by; the first that matches counts.
func DefaultOwnerSignals() []OwnerSignal { return slices.Clone(defaultOwnerSignals()) }

// Deciders returns the kinds that the owner signals read, once for each way in which they are
// found.
func (i Inferrer) Deciders() (all []Decider) {
	for _, s := range i.OwnerSignals {
		if !slices.Contains(all, s.Of) {
			all = append(all, s.Of)
		}
	}
	return all
}

// find looks for the signal on the object.
func (s OwnerSignal) find(object *Object) (sighting, bool) {
	switch {
	case s.Deleting:
		return sighting{kind: "deleting"}, object.DeletionTimestamp != nil
	case s.Field != "":
		value, ok := textAt(object, s.Field)
		if !ok || !s.Value.Matches(value) {
			return sighting{}, false
		}
		message, _ := textAt(object, s.Words)
		return sighting{kind: s.Field, value: value, message: message,
			groups: s.Value.groups(value)}, true
	default:
		return s.inConditions(object)
	}
}

func (s OwnerSignal) inConditions(object *Object) (sighting, bool) {
	list, _ := object.in("status", "conditions").([]any)
	m := Mark{Condition: s.Condition, Status: cmp.Or(s.Status, corev1.ConditionTrue),
		Reasons: s.Reasons}
	for _, one := range list {
		c, _ := one.(map[string]any)
		text := func(key string) string {
			value, _ := c[key].(string)
			return value
		}
		if found, ok := m.inCondition(text("type"), corev1.ConditionStatus(text("status")),
			text("reason"), text("message"), metav1.Time{}); ok {
			return found, true
		}
	}
	return sighting{}, false
}

// textAt returns the text at a path of an object, if there is one.
func textAt(object *Object, path string) (string, bool) {
	if path == "" {
		return "", false
	}
	text, ok := object.in(strings.Split(path, ".")...).(string)
	return text, ok
}

// decided returns what the objects that decide about the pod say. The caller has made sure that
// each belongs to the pod. What the operator of a Job's owner does with pods of its own does not
// explain that the Job was suspended.
func (n inference) decided() (Reason, bool) {
	suspended := n.Operated == ""
	for _, s := range n.OwnerSignals {
		for _, object := range n.Objects {
			found, ok := s.find(object)
			if !ok || !object.is(s.Of) || suspended && s.Code == RemovedByOwner {
				continue
			}
			found.owner, found.object = n.owner(), KindOf(object.APIVersion, object.Kind)+
				" "+object.Name
			found.node = n.Pod.Spec.NodeName
			r := New(Pod, s.Code, found.words(s.Detail), n.Remover.User)
			if s.Node {
				return n.because(r)
			}
			return r, true
		}
	}
	return Reason{}, false
}

// byOperator explains a pod that the controller of its own owner deletes: an owner of a kind that
// Kubernetes does not know, whose status says why, if anything does.
func (n inference) byOperator() (Reason, bool) {
	if n.Operated == "" || n.Remover.Evicts || Finished(n.Pod) {
		return Reason{}, false
	}
	if r, ok := n.decided(); ok {
		return r, true
	}
	return always(New(Pod, RemovedByOwner, n.Operated, n.Remover.User))
}
