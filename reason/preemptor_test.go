package reason

import "testing"

func TestLacksPreemptor(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		r    Reason
		want bool
	}{
		"nobody is named": {New(Pod, Preempted, unknownPreemptor, "system:kube-scheduler"),
			true},
		"somebody is": {New(Pod, Preempted, "team/job", "system:kube-scheduler"), false},
		"another code": {New(Pod, Evicted, unknownPreemptor, "system:kube-scheduler"),
			false},
		"words of a person": {New(Pod, UserRequest, "preempted, "+unknownPreemptor, "alice"),
			false},
		"nothing is said":       {Reason{}, false},
		"a code without a word": {Reason{Code: Preempted}, false},
	}
	for name, tc := range tests {
		if got := tc.r.LacksPreemptor(); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}
