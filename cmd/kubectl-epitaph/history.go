package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// countedBy returns the fields by which the archive counts.
func countedBy() []string {
	names := make([]string, len(archive.Fields))
	for n, field := range archive.Fields {
		names[n] = string(field)
	}
	return names
}

// historyFlags are those of "history".
type historyFlags struct {
	selection
	by      string
	atLeast int64
	output  documentOutput
}

func (p *plugin) history() *cobra.Command {
	f := &historyFlags{}
	c := &cobra.Command{
		Use:   "history [pods | nodes]",
		Short: "Count what left, over years, by the archive",
		Long: `Count what left, over years, by the archive: by month and cause or, of nodes, by name, so that those that died more than once
come first. It takes an archive that answers.`,
		Example: `  kubectl epitaph history -A --since 52w
  kubectl epitaph history --by namespace,code --class disruption -A
  kubectl epitaph history nodes --at-least 2 --code KernelPanic
  kubectl epitaph history nodes --cluster-name '*' --by cluster,month -o json`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"pods", "nodes", "pod", "node"},
		RunE: func(c *cobra.Command, args []string) error {
			return p.count(c.Context(), f, slices.ContainsFunc(args,
				func(of string) bool { return strings.HasPrefix(of, "node") }))
		},
	}
	f.bind(c)
	c.Flags().StringVar(&f.elsewhere, "cluster-name", "",
		"what left this `cluster`; \"*\" for all clusters")
	c.Flags().StringVar(&f.by, "by", "", "count by up to three of these `fields`: "+
		strings.Join(countedBy(), ", "))
	c.Flags().Int64Var(&f.atLeast, "at-least", 1, "only what left at least that `often`")
	f.output.bind(c)
	return c
}

// fields returns what is counted by.
func (f *historyFlags) fields(nodes bool) ([]string, error) {
	switch {
	case f.by == "" && nodes:
		return []string{string(archive.ByNode)}, nil
	case f.by == "":
		return []string{string(archive.ByMonth), string(archive.ByCode)}, nil
	}
	by := strings.Split(f.by, ",")
	if len(by) > archive.MaxFields {
		return nil, fmt.Errorf("%w: --by has %d fields: name up to %d", errUsage, len(by),
			archive.MaxFields)
	}
	for _, field := range by {
		if err := isOneOf("--by", field, countedBy()...); err != nil {
			return nil, err
		}
	}
	return by, nil
}

func (p *plugin) count(ctx context.Context, f *historyFlags, nodes bool) error {
	printer, err := f.output.printer()
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	by, err := f.fields(nodes)
	if err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	c.Elsewhere = f.elsewhere
	kind, filter := archive.PodKind, f.within(c, p.clock.Now())
	if nodes {
		if f.filter.Pod != "" || f.labels != "" {
			return fmt.Errorf("%w: --pod and --selector choose among pods, not nodes", errUsage)
		}
		kind, filter.Namespace = archive.NodeKind, ""
	}
	counts, err := c.Counts(ctx, kind, filter, by)
	if err != nil {
		return err
	}
	counts = slices.DeleteFunc(counts, func(n archive.Count) bool { return n.N < f.atLeast })
	if by[0] == string(archive.ByMonth) || by[0] == string(archive.ByDay) {
		// Of a time, the order of the table; of the rest, the most frequent first.
		slices.SortStableFunc(counts, func(a, b archive.Count) int {
			return strings.Compare(a.Of[0], b.Of[0])
		})
	}
	return p.printCounts(f.output, printer, by, counts)
}

// printCounts prints numbers: as a table, or each as an object with its fields.
func (p *plugin) printCounts(output documentOutput, printer printers.ResourcePrinter, by []string,
	counts []archive.Count) error {
	if printer != nil {
		all := make([]map[string]any, 0, len(counts))
		for _, n := range counts {
			row := map[string]any{"count": n.N}
			for i, field := range by {
				row[field] = n.Of[i]
			}
			all = append(all, row)
		}
		return p.printDocument(printer, output, all)
	}
	if len(counts) == 0 {
		fmt.Fprintln(p.errOut, "The archive has nothing that matches these flags.")
		return nil
	}
	header := make([]string, 0, len(by)+1)
	for _, field := range by {
		header = append(header, strings.ToUpper(field))
	}
	rows := make([][]string, 0, len(counts))
	for _, n := range counts {
		row := make([]string, 0, len(by)+1)
		for _, value := range n.Of {
			if value == "" {
				value = "-"
			}
			row = append(row, terminal.Clean(value))
		}
		rows = append(rows, append(row, strconv.FormatInt(n.N, 10)))
	}
	return terminal.Table(p.out, append(header, "LEFT"), rows)
}
