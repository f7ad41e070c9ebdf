package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"
)

// colours is whether to use them.
type colours bool

// coloursFor asks for colours on a terminal only, and never against the user's will (no-color.org).
func coloursFor(out *os.File, env func(string) string) colours {
	return colours(env("NO_COLOR") == "" && env("TERM") != "dumb" && term.IsTerminal(int(out.Fd())))
}

// The colours, in the terminal's own shades (ECMA-48 SGR).
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (c colours) paint(shade, s string) string {
	if !c {
		return s
	}
	return "\x1b[" + shade + "m" + s + "\x1b[0m"
}

// table writes rows under a header. The cells pass clean.
func table(out io.Writer, header []string, rows [][]string) error {
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

// shown are cells as a terminal may have them.
func shown(cells []string) []string {
	safe := make([]string, len(cells))
	for n, cell := range cells {
		if safe[n] = clean(cell); safe[n] == "" {
			safe[n] = "-"
		}
	}
	return safe
}

// columns write rows that come one by one. A column grows with what it has held, so that what follows stands below.
type columns struct {
	out    io.Writer
	widths []int
}

// firstWidth is how wide a column is at first, gap what is left free after it.
const (
	firstWidth = 10
	gap        = 2
)

func (c *columns) write(cells []string) error {
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
	_, err := fmt.Fprintln(c.out, line.String())
	return err
}

// structured writes a value as JSON or YAML. What a terminal would obey is escaped, also where the format would allow it.
func structured(out io.Writer, format string, value any) error {
	data, err := json.MarshalIndent(value, "", "    ")
	if err == nil && format == "yaml" {
		data, err = yaml.JSONToYAML([]byte(escape(string(data))))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", format, err)
	}
	_, err = fmt.Fprintln(out, escape(strings.TrimRight(string(data), "\n")))
	return err
}

// ago is the age of something in kubectl's manner.
func (p *plugin) ago(t metav1.Time) string {
	if t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(p.clock.Since(t.Time).Truncate(time.Second))
}

// outputFlag adds the flag that names the format.
func outputFlag(c *cobra.Command, to *string, formats ...string) {
	last := len(formats) - 1
	c.Flags().StringVarP(to, "output", "o", "", strings.Join(formats[:last], ", ")+" or "+formats[last])
	completeFlag(c, "output", formats...)
}

// isFormat refuses formats that do not exist.
func isFormat(format string, known ...string) error {
	for _, k := range known {
		if format == k {
			return nil
		}
	}
	return fmt.Errorf("%w: -o is %q, it must be one of %q", errUsage, format, known)
}
