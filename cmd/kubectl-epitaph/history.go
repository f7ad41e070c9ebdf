package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
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
	// rate has disruptions counted beside pod-hours.
	rate bool
	// root is a node of which all is told that it took down.
	root   string
	output documentOutput
}

func (p *plugin) history() *cobra.Command {
	f := &historyFlags{}
	c := &cobra.Command{
		Use:   "history [pods | nodes]",
		Short: "Count what left, over years, by the archive",
		Long: `Count what left, over years, by the archive: by month and cause or, of nodes, by name,
so that those that died more than once come first. It takes an archive that answers. --rate sets
disruptions against the hours for which pods were there; --root tells what one node took down with
it.`,
		Example: `  kubectl epitaph history -A --since 52w
  kubectl epitaph history --by namespace,code --class disruption -A
  kubectl epitaph history nodes --at-least 2 --code KernelPanic
  kubectl epitaph history nodes --cluster-name '*' --by cluster,month -o json
  kubectl epitaph history nodes --cluster-name '*' --by fingerprint --code KernelPanic
  kubectl epitaph history -A --rate --by label:team,code --since 26w
  kubectl epitaph history -A --root gpu-17`,
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
		strings.Join(countedBy(), ", ")+", or label:KEY")
	c.Flags().Int64Var(&f.atLeast, "at-least", 1, "only what left at least that `often`")
	c.Flags().BoolVar(&f.rate, "rate", false,
		"disruptions of pods for 1,000 pod-hours; of pods that are recorded")
	c.Flags().StringVar(&f.root, "root", "", "what this `node` took down with it")
	f.output.bind(c)
	return c
}

// check refuses flags that do not go together.
func (f *historyFlags) check(nodes bool) error {
	switch {
	case f.root != "" && (nodes || f.rate || f.by != "" || f.atLeast != 1 || f.filter.Node != "" ||
		f.filter.Pod != "" || f.labels != "" || f.filter.Code != "" || f.filter.Class != ""):
		return fmt.Errorf("%w: --root goes with --since, -n, -A, --cluster-name and -o alone",
			errUsage)
	case f.rate && (nodes || f.atLeast != 1):
		return fmt.Errorf("%w: --rate is of pods, and goes with no --at-least", errUsage)
	}
	return f.selection.check()
}

// fields returns what is counted by.
func (f *historyFlags) fields(nodes bool) ([]string, error) {
	switch {
	case f.by == "" && nodes:
		return []string{string(archive.ByNode)}, nil
	case f.by == "" && f.rate:
		return []string{string(archive.ByCode)}, nil
	case f.by == "":
		return []string{string(archive.ByMonth), string(archive.ByCode)}, nil
	}
	by := strings.Split(f.by, ",")
	if len(by) > archive.MaxFields {
		return nil, fmt.Errorf("%w: --by has %d fields: name up to %d", errUsage, len(by),
			archive.MaxFields)
	}
	for _, field := range by {
		if key, is := archive.Field(field).Label(); is {
			if problems := validation.IsQualifiedName(key); len(problems) > 0 {
				return nil, fmt.Errorf("%w: --by label:%s: no label has that key", errUsage, key)
			}
			continue
		}
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
	if err := f.check(nodes); err != nil {
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
	if f.root != "" {
		return p.root(ctx, f, c, printer)
	}
	kind, filter := archive.PodKind, f.within(c, p.clock.Now())
	if nodes {
		if f.filter.Pod != "" || f.labels != "" {
			return fmt.Errorf("%w: --pod and --selector choose among pods, not nodes", errUsage)
		}
		kind, filter.Namespace = archive.NodeKind, ""
	}
	if f.rate {
		return p.rate(ctx, f, c, filter, by, printer)
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
	rows := make([][]string, 0, len(counts))
	for _, n := range counts {
		row := make([]string, 0, len(by)+1)
		for _, value := range n.Of {
			row = append(row, orDash(value))
		}
		rows = append(rows, append(row, strconv.FormatInt(n.N, 10)))
	}
	return terminal.Table(p.out, append(upper(by), "LEFT"), rows)
}
