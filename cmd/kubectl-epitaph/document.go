package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// documentFormats are the formats for values that are not API objects, and so have no name.
var documentFormats = []string{"json", "yaml", "jsonpath=", "go-template=", "custom-columns="}

// A documentOutput is how a story or a report is written.
type documentOutput struct{ recordOutput }

func (o *documentOutput) bind(c *cobra.Command) { outputFlag(c, &o.format, documentFormats...) }

// printer returns the printer of the format; nil for the one for people.
func (o *documentOutput) printer() (printers.ResourcePrinter, error) {
	if o.format == "name" {
		return nil, isOneOf("-o", o.format, documentFormats...)
	}
	if text, is := strings.CutPrefix(o.format, "go-template="); is {
		return templatePrinter(text)
	}
	return o.recordOutput.printer()
}

// templatePrinter accepts lists as well, which kubectl's own does not.
func templatePrinter(text string) (printers.ResourcePrinter, error) {
	parsed, err := template.New("output").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: -o go-template: %w", errUsage, err)
	}
	return printers.ResourcePrinterFunc(func(o runtime.Object, w io.Writer) error {
		content, err := o.(document).content()
		if err != nil {
			return err
		}
		return parsed.Execute(w, content)
	}), nil
}

// A document lets kubectl's printers print a value that is not an API object.
type document struct{ value any }

// GetObjectKind returns the empty kind.
func (document) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject returns the document itself: nobody changes it.
func (d document) DeepCopyObject() runtime.Object { return d }

// MarshalJSON writes the value alone.
func (d document) MarshalJSON() ([]byte, error) { return json.Marshal(d.value) }

// content returns the value as decoded from its JSON.
func (d document) content() (content any, err error) {
	data, err := json.Marshal(d.value)
	if err == nil {
		err = json.Unmarshal(data, &content)
	}
	if err != nil {
		return nil, fmt.Errorf("read what is to be written: %w", err)
	}
	return content, nil
}

// items returns the rows of a table: each element of a list, or the whole value.
func (d document) items() ([]any, error) {
	content, err := d.content()
	if err != nil {
		return nil, err
	}
	if list, ok := content.([]any); ok {
		return list, nil
	}
	return []any{content}, nil
}

// printDocument writes a value in the format. Terminal control characters are escaped.
func (p *plugin) printDocument(to printers.ResourcePrinter, o documentOutput, value any) error {
	if o.format == "json" || o.format == "yaml" {
		return terminal.Structured(p.out, o.format, value)
	}
	var out bytes.Buffer
	if err := to.PrintObj(document{value}, &out); err != nil {
		return fmt.Errorf("write it: %w", err)
	}
	_, err := io.WriteString(p.out, terminal.Escape(out.String()))
	return err
}
