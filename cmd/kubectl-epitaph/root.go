package main

import (
	"context"
	"fmt"
	"strconv"

	"k8s.io/cli-runtime/pkg/printers"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/story/lookup"
	"github.com/epitaph-k8s/epitaph/story/toll"
)

// A root is the end of a node, with all that it took down.
type root struct {
	Node     string      `json:"node"`
	Record   string      `json:"record"`
	Code     string      `json:"code"`
	Reason   string      `json:"reason"`
	Removed  metav1.Time `json:"removed"`
	Returned bool        `json:"returned,omitempty"`
	toll.All
}

func (p *plugin) root(ctx context.Context, f *historyFlags, c *cluster.Cluster,
	printer printers.ResourcePrinter) error {
	filter := f.within(c, p.clock.Now())
	nodes, err := c.Nodes(ctx, lookup.Filter{Node: f.root, Since: filter.Since})
	if err != nil {
		return err
	}
	if len(nodes) == 0 {
		return fmt.Errorf("%w: no end of node %s is on record", errNotFound, f.root)
	}
	of := lookup.Filter{Node: f.root, Namespace: filter.Namespace,
		Since: nodes[0].Spec.Removed.Add(-toll.BeforeNode)}
	pods, _, err := c.Pods(ctx, of)
	if err != nil {
		return err
	}
	roots := rootsOf(nodes, pods)
	if printer != nil {
		return p.printDocument(printer, f.output, roots)
	}
	for n := range roots {
		if err := p.printRoot(&roots[n], filter.Namespace); err != nil {
			return err
		}
	}
	return nil
}

// rootsOf finds for each end of a node what it took down: the pods whose record names it.
func rootsOf(nodes []v1alpha1.NodeObituary, pods []v1alpha1.PodObituary) []root {
	roots := make([]root, 0, len(nodes))
	for n := range nodes {
		s := &nodes[n].Spec
		r := root{Node: s.NodeName, Record: nodes[n].Name, Code: s.Code, Reason: s.Reason,
			Removed: s.Removed, Returned: s.Returned}
		var down []toll.Pod
		for i := range pods {
			if pods[i].Spec.NodeObituary == r.Record {
				down = append(down, toll.PodOf(&pods[i]))
			}
		}
		r.All = toll.Of(down)
		roots = append(roots, r)
	}
	return roots
}

func (p *plugin) printRoot(r *root, namespace string) error {
	left := "left " + p.ago(r.Removed) + " ago"
	if r.Returned {
		left = "went down " + p.ago(r.Removed) + " ago, and came back"
	}
	within := ""
	if namespace != "" {
		within = " of namespace " + namespace
	}
	fmt.Fprintln(p.out, p.colours.Paint(terminal.Bold, fmt.Sprintf("Node %s %s: %s",
		terminal.Clean(r.Node), left, terminal.Clean(r.Reason))))
	if r.Pods == 0 {
		_, err := fmt.Fprintf(p.out, "  No pod%s is on record that it took down.\n\n", within)
		return err
	}
	says := fmt.Sprintf("  It took down %d pods%s, which had run for %s pod-hours and held GPUs for %s GPU-hours: at most that is lost.",
		r.Pods, within, hours(r.PodHours), hours(r.GPUHours))
	if r.Unknown > 0 {
		says += fmt.Sprintf(" Of %d it is not known how long they ran.", r.Unknown)
	}
	fmt.Fprintln(p.out, says)
	rows := make([][]string, 0, len(r.Owners))
	for _, o := range r.Owners {
		rows = append(rows, []string{terminal.Clean(o.Namespace),
			terminal.Clean(o.Text()), strconv.Itoa(o.Pods), hours(o.PodHours),
			hours(o.GPUHours)})
	}
	if err := terminal.Table(p.out, []string{"NAMESPACE", "OWNER", "PODS", "POD-HOURS",
		"GPU-HOURS"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.out)
	return err
}

func hours(h float64) string { return strconv.FormatFloat(h, 'f', 1, 64) }
