// Package crdschema judges custom resources by their definition, with the code that the API server
// judges with. Tests that make many of them need no API server for it.
package crdschema

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// A Schema is that of a custom resource.
type Schema struct{ validator *validate.SchemaValidator }

// Read returns the schema in the definition in a file.
func Read(t testing.TB, file string) Schema {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema spec.Schema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(data, &crd); err != nil {
		t.Fatal(err)
	}
	return Schema{validate.NewSchemaValidator(&crd.Spec.Versions[0].Schema.OpenAPIV3Schema, nil,
		"", strfmt.Default)}
}

// Problems returns what the API server would refuse of an object as it is sent.
func (s Schema) Problems(sent map[string]any) []error { return s.validator.Validate(sent).Errors }

// Accepts fails the test where the API server would refuse the object, where a terminal would obey
// it, or where it has more bytes.
func (s Schema) Accepts(t testing.TB, o client.Object, maxBytes int) {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var sent map[string]any
	if err := json.Unmarshal(data, &sent); err != nil {
		t.Fatal(err)
	}
	if problems := s.Problems(sent); len(problems) > 0 {
		t.Errorf("refused: %v", problems)
	}
	if problems := validation.IsDNS1123Subdomain(o.GetName()); len(problems) > 0 {
		t.Errorf("refused for its name %q: %v", o.GetName(), problems)
	}
	if shown := fmt.Sprint(sent["spec"]); strings.ContainsAny(shown, "\x1b\x07\u202e\u2066") {
		t.Errorf("a terminal would obey %q", shown)
	}
	if len(data) > maxBytes {
		t.Errorf("it has %d bytes, want at most %d", len(data), maxBytes)
	}
}
