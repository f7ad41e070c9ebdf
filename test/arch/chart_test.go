package arch

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/config"
)

const chart = "../../charts/epitaph"

// Whoever installs the chart without a value gets what the program does without a configuration.
func TestChartHasTheProgramsDefaults(t *testing.T) {
	t.Parallel()
	section, ok := readYAML(t, "values.yaml")["config"].(map[string]any)
	if !ok {
		t.Fatal("values.yaml has no section config")
	}
	section["apiVersion"], section["kind"] = config.APIVersion, config.Kind
	content, err := yaml.Marshal(section)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Default(), got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the section config of values.yaml is not the default (-default +values):\n%s",
			diff)
	}
	// What is left out there would not be noticed above: it has its default, but no value of the
	// chart can change it.
	known := asMap(t, config.Default())
	for key := range known {
		if _, there := section[key]; !there && key != "namespace" && key != "healthAddress" {
			t.Errorf("values.yaml has no config.%s", key)
		}
	}
	// The chart knows addresses and folders.
	knows := map[string][]string{"webhook": {"address", "certDir"},
		"metrics": {"address", "certDir"},
		"archive": {"dsnFile", "path", "address", "certDir", "healthAddress", "metricsAddress"},
		"agent":   {"service", "configfs", "procSys", "metricsAddress"}}
	for name, leftOut := range knows {
		for key := range known[name].(map[string]any) {
			if _, there := section[name].(map[string]any)[key]; !there &&
				!slices.Contains(leftOut, key) {
				t.Errorf("values.yaml has no config.%s.%s", name, key)
			}
		}
	}
}

// The schema must refuse a typo, and nothing that values.yaml has.
func TestChartSchemaKnowsTheValues(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(content, &root); err != nil {
		t.Fatal(err)
	}
	root.compare(t, "", readYAML(t, "values.yaml"))
}

type schema struct {
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties *bool             `json:"additionalProperties"`
}

func (s schema) compare(t *testing.T, path string, values map[string]any) {
	t.Helper()
	if s.Properties == nil {
		return // labels and the like: any key
	}
	if s.AdditionalProperties == nil || *s.AdditionalProperties {
		t.Errorf("values.schema.json accepts any key below %q", path)
	}
	for key, value := range values {
		below, ok := s.Properties[key]
		if !ok {
			t.Errorf("values.schema.json does not know %s.%s", path, key)
		} else if section, ok := value.(map[string]any); ok {
			below.compare(t, path+"."+key, section)
		}
	}
	for key := range s.Properties {
		if _, ok := values[key]; !ok && key != "global" {
			t.Errorf("values.yaml does not have %s.%s", path, key)
		}
	}
}

func readYAML(t *testing.T, name string) map[string]any {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(chart, name))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(content, &values); err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	return values
}

func asMap(t *testing.T, v any) map[string]any {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(content, &m); err != nil {
		t.Fatal(err)
	}
	return m
}
