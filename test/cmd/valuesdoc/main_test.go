package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"
)

func TestFilesAreCurrent(t *testing.T) {
	t.Parallel()
	values := readFile(t, "../../../charts/epitaph/values.yaml")
	for file, write := range map[string]func([]byte) (string, error){
		"docs/values.md":                    renderPage,
		"charts/epitaph/README.md":          renderReadme,
		"charts/epitaph/values.schema.json": renderSchema,
	} {
		want, err := write(values)
		if err != nil {
			t.Fatal(err)
		}
		got := readFile(t, "../../../"+file)
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not what would be generated: run make generate "+
				"(-generated +committed):\n%s", file, diff)
		}
	}
}

// Each kind of bound arrives, and each value is described.
func TestSchema(t *testing.T) {
	t.Parallel()
	const content = `
# A.
image:
  digest: "" # B.
  pullPolicy: Always # C.
replicas: 2 # D.
webhookClients: # E.
  names: [] # F.
config:
  webhook:
    timeout: 5s # G.
    writeTimeout: 2s # H.
    rules: [] # I.
  client:
    qps: 1 # J.
podDisruptionBudget:
  maxUnavailable: 1 # K.
affinity: {} # L.
`
	text, err := renderSchema([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	find := func(path string) *schema {
		found := &s
		for _, name := range strings.Split(path, ".") {
			if name == "[]" {
				found = found.Items
			} else {
				found = found.Properties[name]
			}
		}
		return found
	}
	for path, want := range map[string]string{
		"image.digest":                   `{"description":"B.","type":"string","pattern":"^(sha256:[0-9a-f]{64})?$"}`,
		"image.pullPolicy":               `{"description":"C.","type":"string","enum":["Always","IfNotPresent","Never"]}`,
		"replicas":                       `{"description":"D.","type":"integer","minimum":1}`,
		"webhookClients.names":           `{"description":"F.","type":"array","maxItems":16,"items":{"type":"string","minLength":1,"maxLength":64}}`,
		"config.webhook.timeout":         `{"description":"G.","type":"string","pattern":"^([1-9]|[12][0-9]|30)s$"}`,
		"config.webhook.writeTimeout":    `{"description":"H.","type":"string","pattern":"^([0-9.]+(ms|s|m|h))+$"}`,
		"config.webhook.rules.[].action": `{"type":"string","enum":["Require","Fill","Ignore"]}`,
		"config.webhook.rules.[].actors": `{"type":"array","items":{"type":"string","enum":["Person","ServiceAccount","System"]}}`,
		"config.client.qps":              `{"description":"J.","type":"number","minimum":1,"maximum":10000}`,
		"podDisruptionBudget":            `{"type":"object","additionalProperties":false,"properties":{"maxUnavailable":{"description":"K.","type":["integer","string"]}}}`,
		"affinity":                       `{"description":"L.","type":"object"}`,
	} {
		got, err := json.Marshal(find(path))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", path, got, err, want)
		}
	}
	if rule := find("config.webhook.rules.[]"); !slices.Equal(rule.Required, []string{"name"}) {
		t.Errorf("a rule must have %q, want its name alone", rule.Required)
	}
	if closed := find("config.webhook.rules.[]").Additional; closed == nil || *closed {
		t.Error("a rule may have fields that nobody knows")
	}
	if _, err := renderSchema([]byte("config: {gc: {wrokers: 1}}")); err == nil ||
		err.Error() != "config.gc.wrokers has no type: add it to the chart's values, or to the configuration" {
		t.Errorf("of a value without a type, it says %v", err)
	}
}

// What the program reads, the chart passes on: every field of every list, too.
func TestSchemaAcceptsWhatTheProgramReads(t *testing.T) {
	t.Parallel()
	var s spec.Schema
	if err := json.Unmarshal(readFile(t, "../../../charts/epitaph/values.schema.json"),
		&s); err != nil {
		t.Fatal(err)
	}
	values, full := map[string]any{}, map[string]any{}
	for file, into := range map[string]*map[string]any{
		"../../../charts/epitaph/values.yaml": &values,
		"../../../config/testdata/full.yaml":  &full} {
		if err := yaml.Unmarshal(readFile(t, file), into); err != nil {
			t.Fatal(err)
		}
	}
	validator := validate.NewSchemaValidator(&s, nil, "", strfmt.Default)
	if err := validator.Validate(values).AsError(); err != nil {
		t.Errorf("values.yaml: %v", err)
	}
	values["config"] = passedOn(full, values["config"].(map[string]any))
	if err := validator.Validate(values).AsError(); err != nil {
		t.Errorf("full.yaml: %v", err)
	}
	for path, wrong := range map[string]any{
		"config.gc.workers": 0.0, "config.webhook.mode": "Off", "config.webhook.timeout": "1m",
		"config.webhook.rules": []any{map[string]any{"title": "a"}},
		"config.gc.wrokers":    1.0, "ports.webhook": 443.0,
	} {
		spoilt := runtime.DeepCopyJSON(values)
		if err := unstructured.SetNestedField(spoilt, wrong,
			strings.Split(path, ".")...); err != nil {
			t.Fatal(err)
		}
		if validator.Validate(spoilt).IsValid() {
			t.Errorf("%s: it accepts %v", path, wrong)
		}
	}
}

// passedOn is what of the program's configuration the chart's values have: addresses and folders
// the chart knows itself.
func passedOn(full, values map[string]any) map[string]any {
	of := map[string]any{}
	for key, value := range values {
		of[key] = full[key]
		if section, ok := value.(map[string]any); ok {
			of[key] = passedOn(full[key].(map[string]any), section)
		}
	}
	return of
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRender(t *testing.T) {
	t.Parallel()
	const values = `# All of it.

# A name | an address.
name: "" # for people
section:
  # What it is.
  plain: 1
# A section.
other:
  deep:
    flag: true # Raised.
  # Of its own.
  list:
    - a: 1
# Where.
nodeSelector:
  kubernetes.io/os: linux
`
	got, err := renderPage([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	const want = head +
		"| `name` | `\"\"` | A name \\| an address. for people |\n| `section.plain` | `1` | What it is. |\n| `other` |  | A section. |\n" +
		"| `other.deep.flag` | `true` | Raised. |\n| `other.list` | `[{a: 1}]` | Of its own. |\n" +
		"| `nodeSelector` |  | Where. |\n| `nodeSelector.kubernetes.io/os` | `linux` |  |\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
	}
}

func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ values, want string }{
		"what nothing explains": {"# It.\na:\n  b: 1\n", "a.b has no comment in values.yaml"},
		"a list":                {"- a\n", "read the values: they are no mapping"},
	} {
		if _, err := renderPage([]byte(tc.values)); err == nil || err.Error() != tc.want {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
