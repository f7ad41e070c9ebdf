package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit/definitions"
	"github.com/epitaph-k8s/epitaph/charts"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// Older definitions become those of this version, by an account with the chart's rights; it says
// what to do where one is missing.
func TestDefinitionsAreApplied(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	if err := c.Grant(t.Context(), "definitions.yaml"); err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(c.RESTConfig(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const name = "ownerobituaries.epitaph-k8s.io"
	definition := &unstructured.Unstructured{}
	definition.SetAPIVersion("apiextensions.k8s.io/v1")
	definition.SetKind("CustomResourceDefinition")
	definition.SetName(name)
	older := client.RawPatch("application/merge-patch+json",
		[]byte(`{"spec":{"names":{"shortNames":["older"],"categories":[]}}}`))
	if err := admin.Patch(t.Context(), definition, older, client.FieldOwner("helm")); err != nil {
		t.Fatal(err)
	}

	account := "system:serviceaccount:" + ourNamespace
	config := c.As(account+":epitaph-definitions", "system:serviceaccounts",
		"system:serviceaccounts:"+ourNamespace, "system:authenticated")
	api, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var served []string
	apply := definitions.Applied{Client: api, Files: charts.Definitions, Clock: clock.RealClock{},
		Tell: func(name string) { served = append(served, name) }}.Apply
	for range 2 {
		served = nil
		if err := apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"nodeobituaries.epitaph-k8s.io", name,
			"podobituaries.epitaph-k8s.io"}; !slices.Equal(served, want) {
			t.Errorf("served are %q, want %q", served, want)
		}
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(definition),
		definition); err != nil {
		t.Fatal(err)
	}
	categories, _, err := unstructured.NestedStringSlice(definition.Object, "spec", "names",
		"categories")
	if err != nil || !slices.Contains(categories, "epitaph") {
		t.Errorf("%s has the categories %q (%v) after it was applied", name, categories, err)
	}

	if err := api.Delete(t.Context(), definition); err == nil {
		t.Error("the account deletes a definition")
	}
	if err := admin.Delete(t.Context(), definition); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the definition is gone", func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(definition), definition)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	err = apply(t.Context())
	if err == nil || !strings.Contains(err.Error(), name+": it is missing") ||
		!strings.Contains(err.Error(), "kubectl apply --server-side") {
		t.Errorf("without a definition: %v, want the remedy", err)
	}
	if _, err := c.clientFor(t, config).CoreV1().Secrets(ourNamespace).List(t.Context(),
		metav1.ListOptions{}); err == nil {
		t.Error("the account reads Secrets")
	}
}
