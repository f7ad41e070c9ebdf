package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// A selection is which records are wanted, as the flags say.
type selection struct {
	filter        lookup.Filter
	since         time.Duration
	allNamespaces bool
}

// bind adds the flags that select.
func (s *selection) bind(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.filter.Code, "code", "", "only this `code`, such as KernelPanic")
	f.StringVar(&s.filter.Class, "class", "",
		"only this `class`: disruption, routine or unexplained")
	f.StringVar(&s.filter.Node, "node", "", "only of this `node`")
	f.StringVar(&s.filter.Pod, "pod", "", "only pods of this `name`")
	f.DurationVar(&s.since, "since", 0, "only who left within this time, such as 24h")
	f.BoolVarP(&s.allNamespaces, "all-namespaces", "A", false, "of all namespaces")
	completeFlag(c, "class", classes...)
	completeFlag(c, "code", codes()...)
}

var classes = []string{reason.Disruption.String(), reason.Routine.String(),
	reason.NoExplanation.String()}

// within completes the filter with what is known only now.
func (s *selection) within(c *cluster.Cluster, now time.Time) (lookup.Filter, error) {
	f := s.filter
	if f.Class != "" && isFormat(f.Class, classes...) != nil {
		return f, fmt.Errorf("%w: --class is %q, it must be one of %q", errUsage, f.Class, classes)
	}
	if s.since < 0 {
		return f, fmt.Errorf("%w: --since is %s, it must not be negative", errUsage, s.since)
	}
	if s.since > 0 {
		f.Since = now.Add(-s.since)
	}
	if !s.allNamespaces {
		f.Namespace = c.Namespace
	}
	return f, nil
}

func (p *plugin) list() *cobra.Command {
	s, output := &selection{}, recordOutput{}
	c := &cobra.Command{
		Use:     "list [pods | nodes]",
		Aliases: []string{"ls"},
		Short:   "List what left, the latest last",
		Example: `  kubectl epitaph list --class disruption --since 24h
  kubectl epitaph list -A --code KernelPanic -o json
  kubectl epitaph list -o custom-columns=POD:.spec.podName,CODE:.spec.code
  kubectl epitaph list nodes`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"pods", "nodes", "pod", "node"},
		RunE: func(c *cobra.Command, args []string) error {
			printer, err := output.printer("wide")
			if err != nil {
				return err
			}
			nodes := len(args) == 1 && (args[0] == "nodes" || args[0] == "node")
			if nodes && s.filter.Pod != "" {
				return fmt.Errorf("%w: --pod chooses among pods, not nodes", errUsage)
			}
			return p.show(c.Context(), s, nodes, output, printer)
		},
	}
	s.bind(c)
	output.bind(c, "wide")
	return c
}

func (p *plugin) show(ctx context.Context, s *selection, nodes bool, output recordOutput,
	printer printers.ResourcePrinter) error {
	c, err := p.connect()
	if err != nil {
		return err
	}
	filter, err := s.within(c, p.clock.Now())
	if err != nil {
		return err
	}
	if nodes {
		return p.showNodes(ctx, c, filter, output, printer)
	}
	found, _, err := c.Pods(ctx, filter)
	if err != nil {
		return err
	}
	if printer != nil {
		return p.printRecords(printer, &v1alpha1.PodObituaryList{Items: found},
			"PodObituary", output.managedFields)
	}
	if len(found) == 0 {
		fmt.Fprintln(p.errOut, "No records of pods match these flags.")
		return nil
	}
	rows := make([][]string, len(found))
	for n := range found {
		rows[n] = p.podRow(&found[n], s.allNamespaces, output.format == "wide")
	}
	return terminal.Table(p.out, podHeader(s.allNamespaces, output.format == "wide"), rows)
}

func (p *plugin) showNodes(ctx context.Context, c *cluster.Cluster, filter lookup.Filter,
	output recordOutput, printer printers.ResourcePrinter) error {
	found, err := c.Nodes(ctx, filter)
	if err != nil {
		return err
	}
	if printer != nil {
		return p.printRecords(printer, &v1alpha1.NodeObituaryList{Items: found},
			"NodeObituary", output.managedFields)
	}
	if len(found) == 0 {
		fmt.Fprintln(p.errOut, "No records of nodes match these flags.")
		return nil
	}
	rows := make([][]string, len(found))
	for n := range found {
		rows[n] = p.nodeRow(&found[n], output.format == "wide")
	}
	return terminal.Table(p.out, nodeHeader(output.format == "wide"), rows)
}
