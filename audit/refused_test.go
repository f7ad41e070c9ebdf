package audit

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestRightWithheld(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Group: "epitaph-k8s.io", Resource: "podobituaries"}
	tests := map[string]struct {
		err  error
		want bool
	}{
		// As a real API server says it [seen: right after it started, before it had read the
		// roles].
		"by RBAC": {apierrors.NewForbidden(resource,
			"a-1",
			errors.New(
				`User "system:serviceaccount:epitaph-system:epitaph-manager" cannot create resource "podobituaries" in API group "epitaph-k8s.io" in the namespace "batch"`)), true},
		"by a quota": {apierrors.NewForbidden(resource,
			"a-1",
			errors.New(
				"exceeded quota: records, requested: count/podobituaries.epitaph-k8s.io=1, used: 5, limited: 5")), false},
		"by a policy": {apierrors.NewForbidden(resource,
			"a-1",
			errors.New(
				"ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no")), false},
		"not at all": {nil, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.err != nil && RightWithheld(tc.err); got != tc.want {
				t.Errorf("withheld: %t, want %t", got, tc.want)
			}
		})
	}
}
