package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// panicFlags are those of "panics".
type panicFlags struct {
	since span
	// group has those of one fingerprint counted together.
	group bool
	// elsewhere is another cluster of the archive.
	elsewhere string
	output    recordOutput
}

func (p *plugin) panics() *cobra.Command {
	f := panicFlags{}
	c := &cobra.Command{
		Use:   "panics [NODE]",
		Short: "Show what the kernels said before they died",
		Long: `Show what the kernels said before they died, and how that is known: heard from the
kernel by netconsole as it died, or found after the restart by the node's agent (pstore,
systemd-pstore, kdump). With --group, those that crashed in the same place are counted together, by
the fingerprint of the kernel's trace.`,
		Example: `  kubectl epitaph panics gpu-17
  kubectl epitaph panics --group --since 52w
  kubectl epitaph panics --group --cluster-name '*' --since 52w -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.completeNames("node"),
		RunE: func(c *cobra.Command, args []string) error {
			return p.lastWords(c.Context(), append(args, "")[0], f)
		},
	}
	sinceFlag(c, &f.since, "who left")
	c.Flags().BoolVar(&f.group, "group", false, "count those of one fingerprint together")
	c.Flags().StringVar(&f.elsewhere, "cluster-name", "",
		"of this `cluster`, by the archive; \"*\" for all clusters")
	f.output.bind(c)
	return c
}

// printer returns that of records, or of groups, which are no objects of the API.
func (f *panicFlags) printer() (printers.ResourcePrinter, error) {
	if f.group {
		return (&documentOutput{f.output}).printer()
	}
	return f.output.printer()
}

func (p *plugin) lastWords(ctx context.Context, node string, f panicFlags) error {
	printer, err := f.printer()
	if err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	c.Elsewhere = f.elsewhere
	all, err := c.Nodes(ctx, lookup.Filter{Node: node, Since: f.since.before(p.clock.Now())})
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(o v1alpha1.NodeObituary) bool { return !panicked(&o) })
	switch {
	case f.group && printer != nil:
		return p.printDocument(printer, documentOutput{f.output}, crashesOf(all))
	case printer != nil:
		return p.printRecords(printer, &v1alpha1.NodeObituaryList{Items: all},
			"NodeObituary", f.output.managedFields)
	case len(all) == 0 && node != "":
		return fmt.Errorf("%w: no panic of node %s is on record: %q may know what became of it",
			errNotFound, node, "kubectl epitaph why node/"+node)
	case len(all) == 0:
		fmt.Fprintln(p.errOut, "No panic is on record.")
		return nil
	}
	if f.group {
		return p.printCrashes(crashesOf(all))
	}
	for n := range all {
		if err := p.lastWordsOf(&all[n]); err != nil {
			return err
		}
	}
	return nil
}

// panicked reports whether a node's record has a panic, or lines of its kernel.
func panicked(o *v1alpha1.NodeObituary) bool {
	return o.Spec.Code == string(reason.KernelPanic) || len(o.Spec.KernelLog) > 0 ||
		slices.ContainsFunc(o.Spec.Evidence,
			func(e v1alpha1.Evidence) bool { return e.What == reason.EvidencePanic })
}

func (p *plugin) lastWordsOf(o *v1alpha1.NodeObituary) error {
	when := "left " + p.ago(o.Spec.Removed) + " ago"
	if o.Spec.Returned {
		when = "went down " + p.ago(o.Spec.Removed) + " ago, and came back"
	}
	title := fmt.Sprintf("Node %s %s: %s", terminal.Clean(o.Spec.NodeName), when,
		terminal.Clean(o.Spec.Reason))
	known := sourceOf(o)
	lines := []string{p.colours.Paint(terminal.Bold, title), "  " + known.how}
	if place := placeOf(o); place != "" {
		lines = append(lines, "  "+place)
	}
	if len(o.Spec.KernelLog) == 0 {
		lines = append(lines, "  ("+known.without+")")
	}
	for _, line := range o.Spec.KernelLog {
		lines = append(lines, "  | "+terminal.Clean(line))
	}
	_, err := fmt.Fprintln(p.out, strings.Join(lines, "\n")+"\n")
	return err
}

// A source says how we know about a panic, and why there are no lines of the kernel.
type source struct{ how, without string }

func sourceOf(o *v1alpha1.NodeObituary) source {
	s := &o.Spec
	switch {
	case s.Amended != nil && toldByCloud(o):
		if s.Code == string(reason.KernelPanic) {
			return source{"Found in the console that the cloud keeps (" +
				terminal.Clean(s.Amended.From) + "): nobody heard the kernel.",
				"none of its lines are on record"}
		}
		return leftByOther(s)
	case s.Amended != nil:
		return source{"Found after the restart, in " + terminal.Clean(s.Amended.From) +
			": nobody heard the kernel.", terminal.Clean(s.Amended.From) +
			" had kept none of its lines"}
	case s.Code == string(reason.KernelPanic) && s.By == reason.ByNetconsole:
		return source{"Heard from the kernel as it died.",
			"none of its lines arrived beside the panic itself"}
	case s.Code == string(reason.KernelPanic):
		return source{"Known from what had been noted on the Node before it left.",
			"none of its lines are on record"}
	default:
		return leftByOther(s)
	}
}

func leftByOther(s *v1alpha1.NodeObituarySpec) source {
	return source{"The Node left by something else (" + terminal.Clean(s.Code) +
		"); the panic had been noted on it before.", "none of its lines are on record"}
}

// toldByCloud reports whether the reason on record is what the API of the cloud said.
func toldByCloud(o *v1alpha1.NodeObituary) bool {
	c := o.Status.Cloud
	return c != nil && o.Spec.Amended.From == reason.CloudSource(c.Cloud)
}
