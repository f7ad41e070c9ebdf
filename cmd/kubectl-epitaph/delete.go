package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/reason"
)

// deleteFlags are those of "delete". What kubectl delete has is called as it is there.
type deleteFlags struct {
	reason, key    string
	overwrite      bool
	which          choice
	cascade        string
	gracePeriod    int64
	force, wait    bool
	timeout        time.Duration
	dryRun, output string
	ignoreNotFound bool
}

func (p *plugin) delete() *cobra.Command {
	f := deleteFlags{}
	c := &cobra.Command{
		Use:   `delete TYPE/NAME … | TYPE NAME … | TYPE -l … | TYPE --all | -f FILE --reason "…"`,
		Short: "Say why, and delete",
		Long: `Say why, and delete: writes the reason onto each object, then deletes that very object. If a
deletion is refused, its reason is taken off again. The reason of what owns pods (a Job, a
Deployment, a namespace …) is told of each of its pods. A name without a type is a pod's.`,
		Example: `  kubectl epitaph delete pod/notebook --reason "the experiment is over"
  kubectl epitaph delete job/etl deploy/web --reason "superseded by etl-2"
  kubectl epitaph delete jobs -l team=a -n batch --reason "the quarter is over"
  kubectl epitaph delete -f app.yaml --reason "moved to another cluster"`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: p.completeTargets(false, true, deletable...),
		RunE: func(c *cobra.Command, args []string) error {
			if f.which.selects() && !c.Flags().Changed("ignore-not-found") {
				f.ignoreNotFound = true // as in kubectl
			}
			return p.remove(c.Context(), args, f)
		},
	}
	f.bind(c)
	return c
}

func (f *deleteFlags) bind(c *cobra.Command) {
	flags := c.Flags()
	reasonFlag(c, &f.reason)
	flags.StringVar(&f.key, "reason-key", "",
		"the annotation `key` of the reason, where the cluster's configuration has one of its own")
	flags.BoolVar(&f.overwrite, "overwrite", false,
		"replace a reason that somebody else has written")
	flags.StringVarP(&f.which.labels, "selector", "l", "", "all that have these `labels`")
	flags.StringVar(&f.which.fields, "field-selector", "",
		"all that have these `fields`, such as status.phase=Failed, where the API server selects by them")
	flags.BoolVar(&f.which.all, "all", false, "all of that type in the namespace that -n names")
	flags.StringSliceVarP(&f.which.Filenames, "filename", "f", nil,
		"what these `files`, folders or URLs describe; - is the standard input")
	flags.BoolVarP(&f.which.Recursive, "recursive", "R", false, "of a folder, its folders as well")
	flags.StringVar(&f.cascade, "cascade", cascades[0],
		"what becomes of what an object owns: background, foreground or orphan")
	flags.Int64Var(&f.gracePeriod, "grace-period", -1,
		"`seconds` for a pod to end; -1 is the pod's own")
	flags.BoolVar(&f.force, "force", false, "at once, as --grace-period 0: what runs may go on running")
	flags.BoolVar(&f.wait, "wait", true, "wait until they are gone")
	flags.DurationVar(&f.timeout, "timeout", 0, "wait no longer than this; 0 is as long as it takes")
	dryRunFlag(c, &f.dryRun)
	flags.BoolVar(&f.ignoreNotFound, "ignore-not-found", false,
		"what is not there is no error; the default with --all, -l and --field-selector")
	flags.StringVarP(&f.output, "output", "o", "", "name: print the names alone")
	completeFlag(c, "cascade", cascades...)
	completeFlag(c, "output", "name")
}

// reasonFlag adds --reason.
func reasonFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "reason", "", "why, in a `sentence` (required)")
}

// The values of --cascade and --dry-run; the first is the default.
var (
	cascades = []string{"background", "foreground", "orphan"}
	dryRuns  = []string{"none", dryRunServer, dryRunClient}
)

const dryRunServer, dryRunClient = "server", "client"

var propagation = map[string]metav1.DeletionPropagation{
	"background": metav1.DeletePropagationBackground,
	"foreground": metav1.DeletePropagationForeground,
	"orphan":     metav1.DeletePropagationOrphan,
}

// dryRunFlag adds --dry-run.
func dryRunFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "dry-run", dryRuns[0],
		"none, server: the API server is asked and changes nothing, or client: it is not asked")
	completeFlag(c, "dry-run", dryRuns...)
}

// check reads the reason, and refuses flags that contradict each other.
func (f *deleteFlags) check(args []string) (reason.Text, error) {
	text, err := saidReason(f.reason)
	switch {
	case err != nil:
		return "", err
	case f.output != "" && f.output != "name":
		return "", isOneOf("-o", f.output, "name")
	case f.force && f.gracePeriod > 0:
		return "", fmt.Errorf("%w: --force leaves no --grace-period", errUsage)
	case len(args) == 0 && len(f.which.Filenames) == 0:
		return "", fmt.Errorf("%w: name what is to be deleted: TYPE/NAME, TYPE -l LABELS, or -f FILE",
			errUsage)
	case f.which.selects() && len(args) != 1:
		return "", fmt.Errorf("%w: --all, -l and --field-selector choose among one TYPE or TYPE,TYPE",
			errUsage)
	}
	if f.force {
		f.gracePeriod = 0
	}
	if err := isOneOf("--cascade", f.cascade, cascades...); err != nil {
		return "", err
	}
	return text, isOneOf("--dry-run", f.dryRun, dryRuns...)
}

// saidReason reads the value of --reason.
func saidReason(said string) (reason.Text, error) {
	text, err := reason.ParseText(said)
	if errors.Is(err, reason.ErrBlank) {
		return "", fmt.Errorf(`%w: say why with --reason "…"`, errUsage)
	}
	if err != nil {
		return "", fmt.Errorf("%w: --reason: %w", errUsage, err)
	}
	return text, nil
}

func (p *plugin) remove(ctx context.Context, args []string, f deleteFlags) error {
	text, err := f.check(args)
	if err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	all, failed, err := p.choose(c, args, f.which)
	if err != nil {
		return err
	}
	d := deletion{Cluster: c, key: f.key, overwrite: f.overwrite, trial: f.dryRun == dryRunServer,
		options: f.options()}
	if d.reason, err = reasonOf(ctx, c, text); err != nil {
		return err
	}
	r := removal{plugin: p, deletion: d, flags: f, failed: ignoring(failed, f.ignoreNotFound)}
	return r.run(ctx, all)
}

// reasonOf is what the caller says.
func reasonOf(ctx context.Context, c *cluster.Cluster, text reason.Text) (reason.Reason, error) {
	by, err := whoAmI(ctx, c)
	return reason.Reason{Code: reason.UserRequest, Text: text, By: by}, err
}

func (f deleteFlags) options() []client.DeleteOption {
	all := []client.DeleteOption{client.PropagationPolicy(propagation[f.cascade])}
	if f.gracePeriod >= 0 {
		all = append(all, client.GracePeriodSeconds(f.gracePeriod))
	}
	if f.dryRun == dryRunServer {
		all = append(all, client.DryRunAll)
	}
	return all
}

func ignoring(all []error, notFound bool) (some []error) {
	for _, err := range all {
		if !notFound || !apierrors.IsNotFound(err) && !errors.Is(err, errNotFound) {
			some = append(some, err)
		}
	}
	return some
}
