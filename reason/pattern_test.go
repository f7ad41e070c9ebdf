package reason

import (
	"errors"
	"testing"
)

func TestPattern(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, text string
		want          bool
	}{
		{"", "anything", true},
		{"Ready", "Ready", true},
		{"Ready", "ReadyToGo", false},
		{"eks:*", "eks:node-manager", true},
		{"eks:*", "aws:eks:node-manager", false},
		{"*shutting down*", "kubelet: node is shutting down now", true},
		{"system:serviceaccount:*:karpenter*", "system:serviceaccount:infra:karpenter-controller",
			true},
		{"system:serviceaccount:*:karpenter", "system:serviceaccount:infra:karpenter-controller",
			false},
		{"a*a", "a", false}, // the two may not share their letter
		{"a*b*a", "aba", true},
		{"/^Gpu(Sm|Mcu)Watch$/", "GpuSmWatch", true},
		{"/^Gpu(Sm|Mcu)Watch$/", "GpuMemWatch", false},
		{"/", "/", true},
		{"//", "anything", true},
	}
	for _, tt := range tests {
		if got := MustPattern(tt.pattern).Matches(tt.text); got != tt.want {
			t.Errorf("pattern %q matches %q: %t, want %t", tt.pattern, tt.text, got, tt.want)
		}
	}
	if !MustPattern("a*").Equal(MustPattern("a*")) || MustPattern("a*").Equal(MustPattern("a")) {
		t.Error("patterns are not equal as they are written")
	}
	var p Pattern
	if err := p.UnmarshalText([]byte("/(/")); err == nil || !p.IsZero() {
		t.Errorf("a broken expression is read as %q, %v", p, err)
	}
}

func TestMarkCheck(t *testing.T) {
	t.Parallel()
	x := MustPattern("x")
	tests := map[string]struct {
		mark Mark
		want error
	}{
		"a condition": {Mark{Condition: x, Status: "True", Reasons: []Pattern{x},
			Message: x}, nil},
		"a taint":                {Mark{Taint: x, Effect: "NoExecute", Value: x}, nil},
		"a cordon":               {Mark{Unschedulable: true}, nil},
		"nothing":                {Mark{}, errNotOne},
		"two":                    {Mark{Label: x, Annotation: x}, errNotOne},
		"a condition of status?": {Mark{Condition: x}, errNoStatus},
		"a taint with a reason":  {Mark{Taint: x, Reasons: []Pattern{x}}, errCondition},
		"a label with an effect": {Mark{Label: x, Effect: "NoExecute"}, errKey},
		"a cordon with a value":  {Mark{Unschedulable: true, Value: x}, errKey},
	}
	for name, tt := range tests {
		if got := tt.mark.Check(); !errors.Is(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestSightingWords(t *testing.T) {
	t.Parallel()
	s := sighting{node: "n1", kind: "Battery", status: "True", reason: "UPS", message: "low",
		groups: []string{"5 min"}}
	for detail, want := range map[string]string{
		"": "Battery: UPS",
		"{type}={status} on {node}: {message}, {1}": "Battery=True on n1: low, 5 min",
		"{type}: {value}": "Battery",
	} {
		if got := s.words(detail); got != want {
			t.Errorf("detail %q says %q, want %q", detail, got, want)
		}
	}
}
