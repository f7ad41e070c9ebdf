package reason

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// An owner signal that can be removed without a failing case is one that nobody can rely on.
func TestEveryOwnerSignalHasACase(t *testing.T) {
	t.Parallel()
	cases := readCases(t)
	for n, s := range DefaultOwnerSignals() {
		if err := s.Check(); err != nil || s.Source == "" || !s.Code.Known() {
			t.Errorf("the owner signal %+v is not whole: %v", s, err)
		}
		fails := false
		for _, c := range cases {
			i := c.inferrer(DefaultSignals(), DefaultIdentities())
			i.OwnerSignals = slices.Delete(DefaultOwnerSignals(), n, n+1)
			fails = fails || len(c.Objects) > 0 && c.diff(i, rules) != ""
		}
		if !fails {
			t.Errorf("no case in %s fails without %s of %s %v %s", casesDir, s.Condition, s.Of.Kind,
				s.Reasons, s.Value)
		}
	}
}

func TestOwnerSignalCheck(t *testing.T) {
	t.Parallel()
	owner := Decider{Kind: "Train", Resource: "trains", Owner: true}
	both := owner
	both.Labelled = "example.com/uid"
	failed := MustPattern("Failed")
	for name, tt := range map[string]struct {
		signal OwnerSignal
		want   error
	}{
		"a condition":        {OwnerSignal{Of: owner, Condition: failed}, nil},
		"a field":            {OwnerSignal{Of: owner, Field: "status.phase", Value: failed}, nil},
		"deleting":           {OwnerSignal{Of: owner, Deleting: true}, nil},
		"no way to it":       {OwnerSignal{Of: Decider{Kind: "Train"}, Deleting: true}, errNotOneWay},
		"two ways":           {OwnerSignal{Of: both, Deleting: true}, errNotOneWay},
		"nothing to read":    {OwnerSignal{Of: owner}, errNotOneMark},
		"two things":         {OwnerSignal{Of: owner, Condition: failed, Deleting: true}, errNotOneMark},
		"reasons of a field": {OwnerSignal{Of: owner, Field: "status.phase", Reasons: []Pattern{failed}}, errBeside},
		"status of a field": {OwnerSignal{Of: owner, Field: "status.phase",
			Status: corev1.ConditionFalse}, errBeside},
		"value of a condition": {OwnerSignal{Of: owner, Condition: failed, Value: failed}, errBeside},
		"words of a condition": {OwnerSignal{Of: owner, Condition: failed, Words: "status.message"}, errBeside},
	} {
		if got := tt.signal.Check(); !errors.Is(got, tt.want) {
			t.Errorf("%s: Check = %v, want %v", name, got, tt.want)
		}
	}
}

// Each kind is read once, however many signals read it, and in each way in which it is found.
func TestDeciders(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, d := range (Inferrer{OwnerSignals: DefaultOwnerSignals()}).Deciders() {
		key := fmt.Sprintf("%+v", d)
		if seen[key] {
			t.Errorf("%s is asked for twice", key)
		}
		seen[key] = true
	}
	if len(seen) < 9 {
		t.Errorf("%d kinds are asked for, want 9 or more", len(seen))
	}
}
