// Command valuesdoc writes docs/values.md: the chart's values, their defaults and what the comments of values.yaml say of them.
//
//	valuesdoc < charts/epitaph/values.yaml > docs/values.md
//
// Invariant: no value is left unexplained; what one has no comment of its own for, its section must have one.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

func main() {
	values, err := io.ReadAll(os.Stdin)
	if err == nil {
		var page string
		if page, err = render(values); err == nil {
			_, err = io.WriteString(os.Stdout, page)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "valuesdoc:", err)
		os.Exit(1)
	}
}

const head = `# Every value of the chart

None has to be set. How they belong together is in [install.md](install.md); what the program makes of those below ` + "`config`" + ` is in
the page of each part. A value that is misspelled is refused by the chart's schema.

<!-- Written by make generate, from charts/epitaph/values.yaml. -->

| value | default | what it does |
|---|---|---|
`

// render writes the page. It fails with the name of each value that nothing explains.
func render(values []byte) (string, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(values, &document); err != nil {
		return "", fmt.Errorf("read the values: %w", err)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return "", errors.New("read the values: they are no mapping")
	}
	p := &page{}
	p.WriteString(head)
	p.section("", document.Content[0], false)
	return p.String(), errors.Join(p.unexplained...)
}

type page struct {
	strings.Builder
	unexplained []error
}

// section writes a row for each value, and one before those of a section that has something to say.
func (p *page) section(prefix string, of *yaml.Node, explained bool) {
	for n := 0; n+1 < len(of.Content); n += 2 {
		key, value := of.Content[n], of.Content[n+1]
		name, says := prefix+key.Value, comment(key, value)
		if value.Kind == yaml.MappingNode && len(value.Content) > 0 {
			if says != "" {
				p.row(name, "", says)
			}
			p.section(name+".", value, explained || says != "")
			continue
		}
		if says == "" && !explained {
			p.unexplained = append(p.unexplained, fmt.Errorf("%s has no comment in values.yaml, and its section has none", name))
		}
		p.row(name, defaultOf(value), says)
	}
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
	if err != nil || len(text) > longestDefault || strings.Count(strings.TrimSpace(string(text)), "\n") > 0 {
		return "see values.yaml"
	}
	return strings.TrimSpace(string(text))
}
