package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/util/jsonpath"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// A recordOutput says how to write records, by kubectl's flags of the same names.
type recordOutput struct {
	format        string
	managedFields bool
}

// recordFormats are kubectl's; what ends in "=" takes an argument.
var recordFormats = []string{"json", "yaml", "name", "jsonpath=", "go-template=", "custom-columns="}

// bind adds the flags. The formats of a command's own come before those of all records.
func (o *recordOutput) bind(c *cobra.Command, own ...string) {
	formats := slices.Concat(own, recordFormats)
	outputFlag(c, &o.format, formats...)
	c.Flags().BoolVar(&o.managedFields, "show-managed-fields", false,
		"keep metadata.managedFields in JSON and YAML")
}

// printer returns the printer of the format; nil for the table for people and the command's own
// formats.
func (o *recordOutput) printer(own ...string) (printers.ResourcePrinter, error) {
	format, argument, _ := strings.Cut(o.format, "=")
	var p printers.ResourcePrinter
	var err error
	switch {
	case o.format == "" || slices.Contains(own, o.format):
		return nil, nil
	case o.format == "json":
		p = &printers.JSONPrinter{}
	case o.format == "yaml":
		p = printers.ResourcePrinterFunc(printYAML)
	case o.format == "name":
		p = &printers.NamePrinter{ShortOutput: true}
	case format == "jsonpath":
		p, err = jsonPathPrinter(argument)
	case format == "go-template":
		p, err = goTemplatePrinter(argument)
	case format == "custom-columns":
		p, err = columnPrinter(argument)
	default:
		return nil, isOneOf("-o", o.format, slices.Concat(own, recordFormats)...)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: -o %s: %w", errUsage, format, err)
	}
	return p, nil
}

// printYAML escapes before it writes: kubectl's own printer fails over control characters in a
// record.
func printYAML(list runtime.Object, w io.Writer) error {
	return terminal.Structured(w, "yaml", list)
}

func jsonPathPrinter(template string) (printers.ResourcePrinter, error) {
	p, err := printers.NewJSONPathPrinter(template)
	if err != nil {
		return nil, err
	}
	p.AllowMissingKeys(true) // as kubectl's --allow-missing-template-keys
	return p, nil
}

func goTemplatePrinter(template string) (printers.ResourcePrinter, error) {
	p, err := printers.NewGoTemplatePrinter([]byte(template))
	if err != nil {
		return nil, err
	}
	p.AllowMissingKeys(true)
	return p, nil
}

// printRecords writes a list, each item of which has the kind. Terminal control characters are
// escaped.
func (p *plugin) printRecords(to printers.ResourcePrinter, list runtime.Object, kind string,
	managedFields bool) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(list)
	if err != nil {
		return fmt.Errorf("read the records: %w", err)
	}
	all := &unstructured.UnstructuredList{}
	all.SetUnstructuredContent(content)
	all.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
	for n := range all.Items {
		all.Items[n].SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
		if !managedFields {
			all.Items[n].SetManagedFields(nil)
		}
	}
	var out bytes.Buffer
	if err := to.PrintObj(all, &out); err != nil {
		return fmt.Errorf("write the records: %w", err)
	}
	_, err = io.WriteString(p.out, terminal.Escape(out.String()))
	return err
}

// recordOf is a record as programs see it.
func recordOf(o *v1alpha1.PodObituary, managedFields bool) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	one := &unstructured.Unstructured{Object: content}
	one.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("PodObituary"))
	if !managedFields {
		one.SetManagedFields(nil)
	}
	return one, nil
}

// printRecord writes one record of a stream: in JSON on one line, in YAML as a document. Terminal
// control characters are escaped.
func (p *plugin) printRecord(to printers.ResourcePrinter, o *v1alpha1.PodObituary,
	output recordOutput) error {
	one, err := recordOf(o, output.managedFields)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	switch output.format {
	case "json":
		err = json.NewEncoder(&out).Encode(one.Object)
	case "yaml":
		out.WriteString("---\n")
		fallthrough
	default:
		err = to.PrintObj(one, &out)
	}
	if err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	_, err = io.WriteString(p.out, strings.TrimSuffix(terminal.Escape(out.String()), "\n")+"\n")
	return err
}

// columns are kubectl's custom columns. kubectl's own code for them comes with all of kubectl.
type columns struct {
	header []string
	paths  []*jsonpath.JSONPath
}

func columnPrinter(spec string) (printers.ResourcePrinter, error) {
	c := &columns{}
	for column := range strings.SplitSeq(spec, ",") {
		header, path, ok := strings.Cut(column, ":")
		if !ok || header == "" || path == "" {
			return nil,
				fmt.Errorf("%q is no column: write HEADER:PATH, for example POD:.spec.podName",
					column)
		}
		template := "{" + path + "}"
		if bare := strings.TrimSuffix(strings.TrimPrefix(path, "{"), "}"); bare != path {
			template = path
		} else if !strings.HasPrefix(path, ".") {
			template = "{." + path + "}"
		}
		parsed := jsonpath.New(header).AllowMissingKeys(true)
		if err := parsed.Parse(template); err != nil {
			return nil, fmt.Errorf("column %s: %w", header, err)
		}
		c.header, c.paths = append(c.header, header), append(c.paths, parsed)
	}
	return c, nil
}

// itemsOf returns the items that get a row in a table.
func itemsOf(o runtime.Object) ([]any, error) {
	switch o := o.(type) {
	case document:
		return o.items()
	case *unstructured.UnstructuredList:
		all := make([]any, len(o.Items))
		for n := range o.Items {
			all[n] = o.Items[n].Object
		}
		return all, nil
	default:
		return nil, errors.New("custom columns are of lists")
	}
}

// PrintObj writes a row for each item.
func (c *columns) PrintObj(o runtime.Object, w io.Writer) error {
	all, err := itemsOf(o)
	if err != nil {
		return err
	}
	rows := make([][]string, len(all))
	for n, item := range all {
		if rows[n], err = c.row(item); err != nil {
			return err
		}
	}
	return terminal.Table(w, c.header, rows)
}

func (c *columns) row(item any) (row []string, err error) {
	for _, path := range c.paths {
		var cell bytes.Buffer
		if err := path.Execute(&cell, item); err != nil {
			return nil, fmt.Errorf("read a column: %w", err)
		}
		row = append(row, cmp.Or(cell.String(), "<none>"))
	}
	return row, nil
}
