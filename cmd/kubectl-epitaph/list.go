package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// A selection says which records the flags ask for.
type selection struct {
	filter        lookup.Filter
	labels        string
	since         span
	allNamespaces bool
	// elsewhere is another cluster of the archive.
	elsewhere string
}

// bind adds the flags that select.
func (s *selection) bind(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.filter.Code, "code", "", "only this `code`, such as KernelPanic")
	f.StringVar(&s.filter.Class, "class", "",
		"only this `class`: disruption, routine or unexplained")
	f.StringVar(&s.filter.Node, "node", "", "only of this `node`")
	f.StringVar(&s.filter.Pod, "pod", "", "only pods of this `name`")
	f.StringVarP(&s.labels, "selector", "l", "",
		"only pods with these `labels`, such as team=a: those that their records have")
	sinceFlag(c, &s.since, "who left")
	f.BoolVarP(&s.allNamespaces, "all-namespaces", "A", false, "of all namespaces")
	completeFlag(c, "class", classes...)
	completeFlag(c, "code", codes()...)
}

var classes = []string{reason.Disruption.String(), reason.Routine.String(),
	reason.NoExplanation.String()}

// check refuses classes that do not exist, and codes that are mistyped: a program may have a code
// of its own.
func (s *selection) check() error {
	if s.filter.Class != "" {
		if err := isOneOf("--class", s.filter.Class, classes...); err != nil {
			return err
		}
	}
	if code := s.filter.Code; code != "" && !slices.Contains(codes(), code) {
		if near := nearest(code, codes()); near != "" {
			return fmt.Errorf("%w: --code is %q: did you mean %s?", errUsage, code, near)
		}
	}
	if s.labels != "" {
		selector, err := labels.Parse(s.labels)
		if err != nil {
			return fmt.Errorf("%w: --selector: %w", errUsage, err)
		}
		s.filter.Labels = selector
	}
	return nil
}

// within completes the filter with the namespace and the time.
func (s *selection) within(c *cluster.Cluster, now time.Time) lookup.Filter {
	f := s.filter
	f.Since = s.since.before(now)
	if !s.allNamespaces {
		f.Namespace = c.Namespace
	}
	return f
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
			if err := s.check(); err != nil {
				return err
			}
			nodes := len(args) == 1 && (args[0] == "nodes" || args[0] == "node")
			if nodes && (s.filter.Pod != "" || s.labels != "") {
				return fmt.Errorf("%w: --pod and --selector choose among pods, not nodes", errUsage)
			}
			return p.show(c.Context(), s, nodes, output, printer)
		},
	}
	s.bind(c)
	c.Flags().StringVar(&s.elsewhere, "cluster-name", "",
		"what left this `cluster`, by the archive; \"*\" for all clusters")
	output.bind(c, "wide")
	return c
}

func (p *plugin) show(ctx context.Context, s *selection, nodes bool, output recordOutput,
	printer printers.ResourcePrinter) error {
	c, err := p.connect()
	if err != nil {
		return err
	}
	c.Elsewhere = s.elsewhere
	filter := s.within(c, p.clock.Now())
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
		return missing(ctx, c, filter.Namespace)
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
