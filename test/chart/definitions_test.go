//go:build linux

package chart

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/reason"
)

// definitions of an older version are upgraded by the two commands of the documentation, and the
// obituaries written under them stay what they are.
func definitions(t *testing.T, c *cluster) {
	// as the documentation uninstalls
	c.kubectl(t, "", "delete", "crd", "nodeobituaries.epitaph-k8s.io",
		"podobituaries.epitaph-k8s.io", "ownerobituaries.epitaph-k8s.io")
	c.helm(t, "install", release, c.olderChart(t), "--namespace", namespace,
		"--wait", "--timeout=3m")
	eventually(t, "the Service has both replicas",
		func(ctx context.Context) (bool, error) { return len(c.endpoints(ctx)) == 2, nil })
	c.denies(t, "before")
	old := c.obituary(t, "before")
	if _, there := old["phase"]; there {
		t.Fatalf("an obituary under the older definition has the phase: %v", old)
	}
	c.outdated(t)

	// Helm's upgrade touches no definition.
	upgrade := []string{"upgrade", release, c.chart, "--namespace", namespace,
		"--wait", "--timeout=5m"}
	c.helm(t, upgrade...)
	c.outdated(t)

	c.kubectl(t, "", "apply", "--server-side", "--force-conflicts", "--field-manager=helm",
		"--filename="+filepath.Join(c.chart, "crds"))
	c.helm(t, upgrade...)
	if diff := cmp.Diff(old, c.obituary(t, "before")); diff != "" {
		t.Errorf("the old obituary has changed (-before +after):\n%s", diff)
	}
	c.denies(t, "after")
	if c.obituary(t, "after")["phase"] == nil {
		t.Errorf("an obituary under the new definition lacks the phase")
	}
	found := c.foundByCode(t, reason.UserRequest)
	for _, pod := range []string{"before", "after"} {
		if !slices.Contains(found, pod) {
			t.Errorf("by their code the obituaries of %q are found, want that of pod %s among them",
				found, pod)
		}
	}
	examined(t, c)
	c.uninstalls(t)
}

// olderChart has the definition of a PodObituary without a field, and without what is selected by.
func (c *cluster) olderChart(t *testing.T) string {
	t.Helper()
	older := filepath.Join(t.TempDir(), "epitaph")
	must(t, os.CopyFS(older, os.DirFS(c.chart)))
	file := filepath.Join(older, "crds", "epitaph-k8s.io_podobituaries.yaml")
	content, err := os.ReadFile(file)
	must(t, err)
	var definition map[string]any
	must(t, yaml.Unmarshal(content, &definition))
	versions, _, err := unstructured.NestedSlice(definition, "spec", "versions")
	must(t, err)
	only := versions[0].(map[string]any)
	unstructured.RemoveNestedField(only, "selectableFields")
	unstructured.RemoveNestedField(only, "schema", "openAPIV3Schema", "properties", "spec",
		"properties", "phase")
	must(t, unstructured.SetNestedSlice(definition, versions, "spec", "versions"))
	content, err = yaml.Marshal(definition)
	must(t, err)
	must(t, os.WriteFile(file, content, 0o600))
	return older
}

// foundByCode are the pods of the namespace default whose obituaries are selected by their code.
// There may be others than those of a test: what left while Epitaph was not there is recorded by
// the next one.
func (c *cluster) foundByCode(t *testing.T, code reason.Code) (pods []string) {
	t.Helper()
	found := &unstructured.UnstructuredList{}
	found.SetGroupVersionKind(obituaries)
	must(t, c.objects.List(t.Context(), found, client.InNamespace(metav1.NamespaceDefault),
		client.MatchingFields{"spec.code": string(code)}))
	for _, o := range found.Items {
		pod, _, err := unstructured.NestedString(o.Object, "spec", "podName")
		must(t, err)
		pods = append(pods, pod)
	}
	return pods
}

// obituary waits for the record of a pod of the namespace default, and returns what it says.
func (c *cluster) obituary(t *testing.T, pod string) (spec map[string]any) {
	t.Helper()
	eventually(t, "pod "+pod+" is recorded", func(ctx context.Context) (bool, error) {
		all := &unstructured.UnstructuredList{}
		all.SetGroupVersionKind(obituaries)
		if err := c.objects.List(ctx, all,
			client.InNamespace(metav1.NamespaceDefault)); err != nil {
			return false, err
		}
		for _, o := range all.Items {
			found, _, err := unstructured.NestedMap(o.Object, "spec")
			if err != nil {
				return false, err
			}
			if found["podName"] == pod {
				spec = found
			}
		}
		return spec != nil, nil
	})
	return spec
}

// outdated wants helm test to say that the definition is of another version, and how that is
// mended.
func (c *cluster) outdated(t *testing.T) {
	t.Helper()
	const want = "BROKEN  CRD PodObituary        is of another version, its fields cannot be selected: kubectl apply --server-side"
	if _, err := c.examine(t); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("helm test ended with %v, want it to say %q", err, want)
	}
}
