package main

import (
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// What is missing is said whichever way the API server says it.
func TestDefinitionsThatAreMissing(t *testing.T) {
	t.Parallel()
	const want = "\nEpitaph's custom resources are not installed in this cluster, or not in this version: kubectl epitaph doctor"
	ours, theirs := v1alpha1.GroupVersion, schema.GroupVersion{Group: "batch", Version: "v1"}
	undiscovered := func(v schema.GroupVersion) error {
		return &apiutil.ErrResourceDiscoveryFailed{
			v: apierrors.NewNotFound(schema.GroupResource{}, "")}
	}
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"the kind":           {&meta.NoKindMatchError{GroupKind: ours.WithKind("PodObituary").GroupKind()}, want},
		"the version":        {undiscovered(ours), want},
		"another's kind":     {&meta.NoKindMatchError{GroupKind: theirs.WithKind("Job").GroupKind()}, ""},
		"another's version":  {undiscovered(theirs), ""},
		"a name that is not": {apierrors.NewNotFound(schema.GroupResource{}, "x"), ""},
	} {
		if got := remedy(fmt.Errorf("list pod obituaries: %w", tc.err)); got != tc.want {
			t.Errorf("%s: it says %q, want %q", name, got, tc.want)
		}
	}
}
