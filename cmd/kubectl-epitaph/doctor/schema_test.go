package doctor

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

var recordFiles = map[string]any{
	"epitaph-k8s.io_podobituaries.yaml":   v1alpha1.PodObituary{},
	"epitaph-k8s.io_nodeobituaries.yaml":  v1alpha1.NodeObituary{},
	"epitaph-k8s.io_ownerobituaries.yaml": v1alpha1.OwnerObituary{},
}

// chartSchema is that of the chart's definition.
func chartSchema(t *testing.T, file string) schema {
	t.Helper()
	data, err := os.ReadFile("../../../charts/epitaph/crds/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema schema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(data, &crd); err != nil || len(crd.Spec.Versions) != 1 {
		t.Fatalf("%s: %d versions, %v", file, len(crd.Spec.Versions), err)
	}
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// The chart's definitions have every field; without one, the doctor names it.
func TestLacks(t *testing.T) {
	t.Parallel()
	for file, record := range recordFiles {
		s, spec := chartSchema(t, file).Properties["spec"], specOf(reflect.TypeOf(record))
		if got := s.lacks(spec, "spec"); got != nil {
			t.Errorf("%s lacks %v", file, got)
		}
		lost := []string{"spec.removed", "spec.amended"}
		if _, ok := record.(v1alpha1.OwnerObituary); ok {
			lost = []string{"spec.removed", "spec.reason"}
		}
		for _, path := range lost {
			delete(s.Properties, strings.TrimPrefix(path, "spec."))
		}
		if got := s.lacks(spec, "spec"); !slices.Equal(got, lost) {
			t.Errorf("%s without two fields lacks %v", file, got)
		}
	}
	s := chartSchema(t, "epitaph-k8s.io_podobituaries.yaml").Properties["spec"]
	delete(s.Properties["containers"].Items.Properties, "exitCode")
	delete(s.Properties["amended"].Properties, "was")
	want := []string{"spec.containers.exitCode", "spec.amended.was"}
	if diff := cmp.Diff(want, s.lacks(specOf(reflect.TypeFor[v1alpha1.PodObituary]()),
		"spec")); diff != "" {
		t.Errorf("in lists and below pointers (-want +got):\n%s", diff)
	}
}
