// Command fieldsdoc writes the references of fields: those of the configuration, from its Go types
// and what their comments say, and those of the records, from their definitions.
//
//	fieldsdoc config > docs/configuration.md
//	fieldsdoc records > docs/records.md
//
// It is run in the folder of the repository. Invariant: no field is left unexplained.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	write := map[string]func(root string) (string, error){
		"config": renderConfig, "records": renderRecords}[strings.Join(os.Args[1:], " ")]
	if write == nil {
		fmt.Fprintln(os.Stderr, "fieldsdoc: name config or records")
		os.Exit(2)
	}
	page, err := write(".")
	if err == nil {
		_, err = io.WriteString(os.Stdout, page)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fieldsdoc:", err)
		os.Exit(1)
	}
}

// A page is a reference that is being written.
type page struct {
	strings.Builder
	unexplained []error
}

// row writes one line of a table.
func (p *page) row(name string, cells ...string) {
	if cells[len(cells)-1] == "" {
		p.unexplained = append(p.unexplained, fmt.Errorf("%s is not explained: comment it", name))
	}
	fmt.Fprintf(p, "| `%s` |", name)
	for _, c := range cells {
		p.WriteString(" " + cell(c) + " |")
	}
	p.WriteString("\n")
}

// cell keeps a row in one line.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

func (p *page) done() (string, error) { return p.String(), errors.Join(p.unexplained...) }
