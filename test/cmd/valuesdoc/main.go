// Command valuesdoc writes what follows from the chart's values: docs/values.md and the chart's own
// README.md, with their defaults and what the comments of values.yaml say of them, and
// values.schema.json, with the types and bounds that they have in Go.
//
//	valuesdoc < charts/epitaph/values.yaml > docs/values.md
//	valuesdoc readme < charts/epitaph/values.yaml > charts/epitaph/README.md
//	valuesdoc schema < charts/epitaph/values.yaml > charts/epitaph/values.schema.json
//
// Invariant: no value is left unexplained or without a type.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

func main() {
	write := renderPage
	if len(os.Args) == 2 {
		write = map[string]func([]byte) (string, error){
			"readme": renderReadme, "schema": renderSchema}[os.Args[1]]
	}
	if write == nil {
		fmt.Fprintln(os.Stderr, "valuesdoc: name readme, schema, or nothing for docs/values.md")
		os.Exit(2)
	}
	content, err := io.ReadAll(os.Stdin)
	if err == nil {
		var page string
		if page, err = write(content); err == nil {
			_, err = io.WriteString(os.Stdout, page)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "valuesdoc:", err)
		os.Exit(1)
	}
}

const head = `# Every value of the chart

None has to be set. [install.md](install.md) tells how they belong together; the page of each part
tells what the program does with those below ` + "`config`" + `. The chart's schema refuses a value that
is misspelled or out of bounds.

<!-- Written by make generate, from charts/epitaph/values.yaml. -->

| value | default | what it does |
|---|---|---|
`

// readmeHead is what the chart says of itself where it is found without this repository: its links
// are to elsewhere.
const readmeHead = `# Epitaph

Every Pod and every Node that leaves the cluster leaves with a reason that a person can read.

- **Kubernetes** 1.33 or later.
- **cert-manager**, unless ` + "`certificates.mode`" + ` names another source of certificates.
- **An image** in a registry of yours: none is public yet. [image.md][image] builds and pushes it.

` + "```" + `
helm install epitaph charts/epitaph --namespace epitaph-system --create-namespace --wait \
  --set image.repository=REGISTRY/epitaph --set image.digest=sha256:…
helm test epitaph --namespace epitaph-system --logs
` + "```" + `

Begin with ` + "`config.webhook.mode=Audit`" + ` to see what would be denied. Helm does not upgrade
definitions: ` + "`kubectl apply --server-side -f crds/`" + ` comes before ` + "`helm upgrade`" + `.
[install.md][install] has the rest: certificates, ports, rights, upgrades, removal.

[image]: https://github.com/epitaph-k8s/epitaph/blob/main/docs/image.md
[install]: https://github.com/epitaph-k8s/epitaph/blob/main/docs/install.md

## Values

None has to be set. The schema refuses a value that is misspelled or out of bounds. Pages under
docs/ are those of the [repository](https://github.com/epitaph-k8s/epitaph/tree/main/docs).

<!-- Written by make generate, from values.yaml. -->

| value | default | what it does |
|---|---|---|
`

func renderPage(content []byte) (string, error) { return render(head, content) }

func renderReadme(content []byte) (string, error) { return render(readmeHead, content) }

// render writes a page with all values below its head. It fails with the name of each value that
// nothing explains.
func render(head string, content []byte) (string, error) {
	root, err := mapping(content)
	if err != nil {
		return "", err
	}
	p := &page{}
	p.WriteString(head)
	p.section("", root, reflect.TypeFor[values]())
	return p.String(), errors.Join(p.unexplained...)
}

func mapping(content []byte) (*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("read the values: %w", err)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("read the values: they are no mapping")
	}
	return document.Content[0], nil
}

type page struct {
	strings.Builder
	unexplained []error
}

// section writes a row for each value, and one before those of a section that has something to say.
// What is below one of Kubernetes' objects is explained by Kubernetes.
func (p *page) section(prefix string, of *yaml.Node, t reflect.Type) {
	for n := 0; n+1 < len(of.Content); n += 2 {
		key, value := of.Content[n], of.Content[n+1]
		name, says := prefix+key.Value, comment(key, value)
		if value.Kind == yaml.MappingNode && len(value.Content) > 0 {
			if says != "" {
				p.row(name, "", says)
			}
			p.section(name+".", value, below(t, key.Value))
			continue
		}
		if says == "" && t != kubernetes {
			p.unexplained = append(p.unexplained,
				fmt.Errorf("%s has no comment in values.yaml", name))
		}
		p.row(name, defaultOf(value), says)
	}
}

var kubernetes = reflect.TypeFor[object]()

// below is the type of what is below a key.
func below(t reflect.Type, key string) reflect.Type {
	if t.Kind() != reflect.Struct {
		return t
	}
	field, _ := fieldOf(t, key)
	return cmp.Or(field.Type, reflect.TypeFor[struct{}]()) // without a type, the schema complains
}

func (p *page) row(name, value, says string) {
	if value != "" {
		value = "`" + value + "`"
	}
	fmt.Fprintf(p, "| `%s` | %s | %s |\n", name, cell(value), cell(says))
}

// cell keeps a row in one line.
func cell(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "|", `\|`) }

// comment is the last paragraph above a key, or what stands behind its value.
func comment(key, value *yaml.Node) string {
	above := key.HeadComment
	if n := strings.LastIndex(above, "\n\n"); n >= 0 {
		above = above[n:]
	}
	var words []string
	for line := range strings.Lines(above + "\n" + value.LineComment) {
		if line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")); line != "" {
			words = append(words, line)
		}
	}
	return strings.Join(words, " ")
}

// longestDefault is what fits a cell; whoever wants more of it reads the file.
const longestDefault = 60

func defaultOf(value *yaml.Node) string {
	if value.Kind == yaml.ScalarNode && value.Value == "" {
		return `""`
	}
	short := *value
	short.Style |= yaml.FlowStyle
	short.HeadComment, short.LineComment, short.FootComment = "", "", ""
	text, err := yaml.Marshal(&short)
	if err != nil || len(text) > longestDefault ||
		strings.Count(strings.TrimSpace(string(text)), "\n") > 0 {
		return "see values.yaml"
	}
	return strings.TrimSpace(string(text))
}
