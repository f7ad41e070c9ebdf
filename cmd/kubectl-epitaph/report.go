package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// A finding is how often somebody deleted without saying why, in one week and one namespace.
type finding struct {
	Week      string `json:"week"`
	Namespace string `json:"namespace"`
	By        string `json:"by"`
	Deletions int    `json:"deletions"`
}

func (p *plugin) audit() *cobra.Command {
	output, since := documentOutput{}, span(0)
	c := &cobra.Command{
		Use:   "audit",
		Short: "Report deletions without a reason by week, namespace and user",
		Long: `Report deletions without a reason by week, namespace and user: of all namespaces, unless -n names one. It counts what is
on record; what retention has removed is not counted any more.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.report(c.Context(), since, output)
		},
	}
	sinceFlag(c, &since, "deletions")
	output.bind(c)
	return c
}

func (p *plugin) report(ctx context.Context, since span, output documentOutput) error {
	printer, err := output.printer()
	if err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	filter := lookup.Filter{Namespace: p.flags.Namespace(), Class: reason.NoExplanation.String(),
		Since: since.before(p.clock.Now())}
	pods, _, err := c.Pods(ctx, filter)
	if err != nil {
		return err
	}
	var nodes []v1alpha1.NodeObituary
	if filter.Namespace == "" {
		if nodes, err = c.Nodes(ctx, filter); err != nil {
			return err
		}
	}
	findings := findingsOf(pods, nodes)
	if printer != nil {
		return p.printDocument(printer, output, findings)
	}
	if len(findings) == 0 {
		fmt.Fprintln(p.errOut, "No deletion without a reason is on record.")
		return nil
	}
	rows := make([][]string, len(findings))
	for n, f := range findings {
		rows[n] = []string{f.Week, f.Namespace, f.By, fmt.Sprint(f.Deletions)}
	}
	return terminal.Table(p.out, []string{"WEEK", "NAMESPACE", "BY", "DELETIONS"}, rows)
}

// findingsOf counts, the newest week first, and in a week the most frequent first. Nodes have no
// namespace.
func findingsOf(pods []v1alpha1.PodObituary, nodes []v1alpha1.NodeObituary) []finding {
	counts := map[finding]int{}
	for _, o := range pods {
		counts[finding{Week: week(o.Spec.Removed.Time), Namespace: o.Namespace, By: o.Spec.By}]++
	}
	for _, o := range nodes {
		counts[finding{Week: week(o.Spec.Removed.Time), Namespace: "(nodes)", By: o.Spec.By}]++
	}
	all := make([]finding, 0, len(counts))
	for f, n := range counts {
		f.Deletions = n
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b finding) int {
		return cmp.Or(cmp.Compare(b.Week, a.Week), cmp.Compare(b.Deletions, a.Deletions),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.By, b.By))
	})
	return all
}

// week is the ISO 8601 week, as in 2026-W18.
func week(t time.Time) string {
	year, number := t.UTC().ISOWeek()
	return fmt.Sprintf("%d-W%02d", year, number)
}
