package reason

import (
	"slices"
	"testing"
)

func TestOperatesByName(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		user, group, kind string
		want              bool
	}{
		"Argo": {"system:serviceaccount:argo:argo", "argoproj.io", "Workflow", true},
		"Argo's chart": {"system:serviceaccount:ci:argo-workflows-workflow-controller",
			"argoproj.io", "Workflow", true},
		"another kind of the group": {"system:serviceaccount:argo:argo", "argoproj.io", "Rollout",
			false},
		"another group's kind": {"system:serviceaccount:argo:argo", "example.com", "Workflow",
			false},
		"somebody else": {"system:serviceaccount:argo:ci", "argoproj.io", "Workflow", false},
		"a person":      {"argo", "argoproj.io", "Workflow", false},
	}
	right := func(all []Operator) bool {
		for _, tt := range tests {
			kind := Kind{Group: tt.group, Kind: tt.kind}
			if (Inferrer{Operators: all}).Operates(tt.user, kind) != tt.want {
				return false
			}
		}
		return true
	}
	if !right(DefaultOperators()) {
		t.Error("the default operators are not those of the table")
	}
	for n, o := range DefaultOperators() {
		if o.Source == "" || right(slices.Delete(DefaultOperators(), n, n+1)) {
			t.Errorf("%s of %s has no source, or nothing fails without it", o.Kind, o.Group)
		}
		for u := range o.Users {
			less := DefaultOperators()
			less[n].Users = slices.Delete(slices.Clone(o.Users), u, u+1)
			if right(less) {
				t.Errorf("nothing fails without the user %s", o.Users[u])
			}
		}
	}
	every := Inferrer{Operators: []Operator{{Group: "example.com",
		Users: []Pattern{MustPattern("system:serviceaccount:ops:*")}}}}
	if !every.Operates("system:serviceaccount:ops:x", Kind{Group: "example.com",
		Kind: "Any"}) {
		t.Error("without a kind, not each of the group is meant")
	}
}
