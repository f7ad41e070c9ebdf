// Package terminal writes tables and colours for people at a terminal, and escapes control
// characters of others' text.
package terminal

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"golang.org/x/term"
	"sigs.k8s.io/yaml"
)

// Colours says whether to use colours.
type Colours bool

// ColoursFor asks for colours on a terminal only, and never against the user's will (no-color.org).
func ColoursFor(out *os.File, env func(string) string) Colours {
	return Colours(env("NO_COLOR") == "" && env("TERM") != "dumb" && term.IsTerminal(int(out.Fd())))
}

// The colours, in the terminal's own shades (ECMA-48 SGR).
const (
	Bold   = "1"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
)

// Paint writes s in that shade.
func (c Colours) Paint(shade, s string) string {
	if !c {
		return s
	}
	return "\x1b[" + shade + "m" + s + "\x1b[0m"
}

// Table writes rows under a header. The cells pass Clean.
func Table(out io.Writer, header []string, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	writeRow(w, header)
	for _, r := range rows {
		writeRow(w, r)
	}
	return w.Flush()
}

func writeRow(w io.Writer, cells []string) {
	fmt.Fprintln(w, strings.Join(shown(cells), "\t"))
}

// shown returns the cells, cleaned for a terminal.
func shown(cells []string) []string {
	safe := make([]string, len(cells))
	for n, cell := range cells {
		if safe[n] = Clean(cell); safe[n] == "" {
			safe[n] = "-"
		}
	}
	return safe
}

// Columns write rows that come one by one. A column is as wide as its widest cell so far, so that
// later rows line up.
type Columns struct {
	Out    io.Writer
	widths []int
}

// firstWidth is a column's initial width, gap the space after it.
const (
	firstWidth = 10
	gap        = 2
)

// Write writes one row. The cells pass Clean.
func (c *Columns) Write(cells []string) error {
	if c.widths == nil {
		c.widths = slices.Repeat([]int{firstWidth}, len(cells))
	}
	var line strings.Builder
	for n, cell := range shown(cells) {
		c.widths[n] = max(c.widths[n], utf8.RuneCountInString(cell))
		if n == len(cells)-1 {
			line.WriteString(cell)
		} else {
			fmt.Fprintf(&line, "%-*s", c.widths[n]+gap, cell)
		}
	}
	_, err := fmt.Fprintln(c.Out, line.String())
	return err
}

// Structured writes a value as JSON or YAML. Terminal control characters are escaped, even where
// the format would allow them.
func Structured(out io.Writer, format string, value any) error {
	data, err := json.MarshalIndent(value, "", "    ")
	if err == nil && format == "yaml" {
		data, err = yaml.JSONToYAML([]byte(Escape(string(data))))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", format, err)
	}
	_, err = fmt.Fprintln(out, Escape(strings.TrimRight(string(data), "\n")))
	return err
}
