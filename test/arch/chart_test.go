package arch

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
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
		"archive": {"dsnFile", "path", "address", "certDir", "receiversDir",
			"healthAddress", "metricsAddress"},
		"agent": {"service", "configfs", "procSys", "metricsAddress"}}
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

// Whose pods the chart replaces when a section of the configuration changes is whose program reads
// that section.
func TestChartReplacesWhatReadsAChange(t *testing.T) {
	t.Parallel()
	template := regexp.MustCompile(`epitaph\.checksum.*"sections" \(list ([^)]*)\)`)
	selector := regexp.MustCompile(`\b(?:c|config|settings)\.([A-Z]\w+)\b`)
	fields := map[string]string{}
	for f := range reflect.TypeFor[config.Config]().Fields() {
		fields[f.Name] = strings.Split(f.Tag.Get("json"), ",")[0]
	}
	for workload, sources := range map[string]string{"agent": "agent*_linux.go",
		"archive": "archive*.go"} {
		content, err := os.ReadFile(filepath.Join(chart, "templates", workload+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		m := template.FindSubmatch(content)
		if m == nil {
			t.Fatalf("the template of the %s hashes no section", workload)
		}
		hashed := strings.Fields(strings.ReplaceAll(string(m[1]), `"`, ""))
		files, err := filepath.Glob(filepath.Join("../../cmd/epitaph", sources))
		if err != nil || len(files) < 2 {
			t.Fatalf("found the files %v of the %s, %v", files, workload, err)
		}
		// What every resident program does with the client's section stands in manager.go.
		read := map[string]bool{"client": true}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range selector.FindAllStringSubmatch(string(source), -1) {
				if section := fields[m[1]]; section != "" {
					read[section] = true
				}
			}
		}
		slices.Sort(hashed)
		if got := slices.Sorted(maps.Keys(read)); !slices.Equal(got, hashed) {
			t.Errorf("the %s reads the sections %v, and the chart replaces it for %v", workload,
				got, hashed)
		}
	}
}

// What catalogues of charts show of this one is there: its picture, and every kind that it defines.
func TestChartIsDescribed(t *testing.T) {
	t.Parallel()
	about := readYAML(t, "Chart.yaml")
	icon, _ := about["icon"].(string)
	_, file, _ := strings.Cut(icon, "/epitaph-k8s/epitaph/main/")
	if _, err := os.Stat(filepath.Join("../..", file)); file == "" || err != nil {
		t.Errorf("the icon %q is none of this repository's files: %v", icon, err)
	}
	var kinds []struct{ Kind, Version, Name string }
	annotations, _ := about["annotations"].(map[string]any)
	text, _ := annotations["artifacthub.io/crds"].(string)
	if err := yaml.Unmarshal([]byte(text), &kinds); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(chart, "crds", "*.yaml"))
	if err != nil || len(files) != len(kinds) {
		t.Errorf("the chart has the definitions %v, %v, and tells of %v", files, err, kinds)
	}
	for _, k := range kinds {
		plural, group, _ := strings.Cut(k.Name, ".")
		definition := readYAML(t, "crds/"+group+"_"+plural+".yaml")
		spec := definition["spec"].(map[string]any)
		if spec["names"].(map[string]any)["kind"] != k.Kind ||
			spec["versions"].([]any)[0].(map[string]any)["name"] != k.Version {
			t.Errorf("%s is not what its definition says", k)
		}
	}
}
