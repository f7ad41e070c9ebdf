package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const recordsHead = `# Fields of the records

What Epitaph writes about what left the cluster, field by field. [audit.md](audit.md) tells when a
record is written and for how long it is kept; ` + "`kubectl explain podobituary.spec`" + ` has the same
text as this page. [compatibility.md](compatibility.md) says what of it may change.

<!-- Written by make generate, from the comments of api/v1alpha1. -->
`

// renderRecords writes the reference of the chart's definitions.
func renderRecords(root string) (string, error) {
	files, err := filepath.Glob(filepath.Join(root, "charts/epitaph/crds/*.yaml"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("found the definitions %v: %w", files, err)
	}
	p := &page{}
	p.WriteString(recordsHead)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read a definition: %w", err)
		}
		var d apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(content, &d); err != nil {
			return "", fmt.Errorf("read the definition %s: %w", file, err)
		}
		p.kind(&d)
	}
	return p.done()
}

func (p *page) kind(d *apiextensionsv1.CustomResourceDefinition) {
	version := d.Spec.Versions[0]
	root := version.Schema.OpenAPIV3Schema
	fmt.Fprintf(p, "\n## %s\n\n%s `%s/%s`, %s; short name `%s`.\n\n"+
		"| field | type | holds |\n|---|---|---|\n", d.Spec.Names.Kind, cell(root.Description),
		d.Spec.Group, version.Name, strings.ToLower(string(d.Spec.Scope)),
		strings.Join(d.Spec.Names.ShortNames, "`, `"))
	for _, name := range slices.Sorted(maps.Keys(root.Properties)) {
		// Those of every object are explained by Kubernetes.
		if !slices.Contains([]string{"apiVersion", "kind", "metadata"}, name) {
			p.fields(name, root.Properties[name])
		}
	}
}

// fields writes a field, and those below it.
func (p *page) fields(path string, s apiextensionsv1.JSONSchemaProps) {
	p.row(path, typeOf(s), s.Description)
	below := s.Properties
	if s.Items != nil {
		path, below = path+"[]", s.Items.Schema.Properties
	}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		p.fields(path+"."+name, below[name])
	}
}

func typeOf(s apiextensionsv1.JSONSchemaProps) string {
	switch {
	case len(s.Enum) > 0:
		var all []string
		for _, e := range s.Enum {
			all = append(all, strings.Trim(string(e.Raw), `"`))
		}
		return strings.Join(all, ", ")
	case s.Format == "date-time":
		return "time"
	case s.Type == "array":
		return "list of " + typeOf(*s.Items.Schema)
	case s.AdditionalProperties != nil:
		return "map"
	default:
		return s.Type
	}
}
