package reason

import "strings"

// MaxByBytes bounds the name of whoever did the terminating.
const MaxByBytes = 256

// A Reason says why an object was terminated.
type Reason struct {
	Code Code
	Text Text
	// By is who or what terminated the object: a user name, a service account, a component.
	By string
	// Supposed is set if the text names a preemptor that nothing names for certain: the only pod
	// that can be it, as far as is known.
	Supposed bool
}

// IsZero reports whether r says nothing at all.
func (r Reason) IsZero() bool { return r.Text == "" }

// A Subject is the kind of object that a reason is about.
type Subject uint8

const (
	_ Subject = iota
	// Pod is a v1 Pod.
	Pod
	// Node is a v1 Node.
	Node
)

// String returns the kind as kubectl writes it.
func (s Subject) String() string {
	switch s {
	case Pod:
		return "pod"
	case Node:
		return "node"
	default:
		return "invalid"
	}
}

// Keys are the three annotations that hold a reason on one kind of object.
type Keys struct {
	// Reason is the key of why the object leaves, in a sentence.
	Reason string `json:"reason" validate:"required,annotationkey"`
	// Code is the key of the reason's code.
	Code string `json:"code" validate:"required,annotationkey,nefield=Reason"`
	// By is the key of who terminates the object.
	By string `json:"by" validate:"required,annotationkey,nefield=Reason,nefield=Code"`
}

// KeySet holds the annotation keys of pods and of nodes.
type KeySet struct {
	Pod  Keys `json:"pod"`
	Node Keys `json:"node"`
}

// DefaultKeys are Titus's own keys, as published in Netflix/titus-kube-common (pod/annotations.go,
// node/annotations.go); the node's code is ours.
func DefaultKeys() KeySet {
	return KeySet{
		Pod: Keys{
			Reason: "pod.titus.netflix.com/pod-termination-reason",
			Code:   "pod.titus.netflix.com/pod-termination-reason-code",
			By:     "pod.titus.netflix.com/pod-termination-by-caller",
		},
		Node: Keys{
			Reason: "node.titus.netflix.com/node-termination-reason",
			Code:   "node.titus.netflix.com/node-termination-reason-code",
			By:     "node.titus.netflix.com/node-termination-by-caller",
		},
	}
}

// Of returns the keys of one kind of object.
func (k KeySet) Of(s Subject) Keys {
	if s == Node {
		return k.Node
	}
	return k.Pod
}

// Has reports whether the annotations hold a reason that is not blank, valid or not.
func (k Keys) Has(annotations map[string]string) bool {
	return strings.TrimSpace(annotations[k.Reason]) != ""
}

// Read returns the reason that the annotations hold. The error is [ErrBlank] if there is none, and
// otherwise says why [ParseText] refuses it.
func (k Keys) Read(annotations map[string]string) (Reason, error) {
	text, err := ParseText(annotations[k.Reason])
	if err != nil {
		return Reason{}, err
	}
	return Reason{
		Code: Code(clean(annotations[k.Code], maxCodeBytes)),
		Text: text,
		By:   clean(annotations[k.By], MaxByBytes),
	}, nil
}

// Annotations returns r as the annotations that hold it. What has no key is left out.
func (k Keys) Annotations(r Reason) map[string]string {
	all := map[string]string{
		k.Reason: string(r.Text),
		k.Code:   string(r.Code),
		k.By:     clean(r.By, MaxByBytes),
	}
	delete(all, "")
	return all
}

// maxCodeBytes bounds a code that somebody else wrote; the longest of ours has 18.
const maxCodeBytes = 64
