package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/drain"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/evictor"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
)

// refusedAgainAfter is how long kubectl waits until it tries again what a disruption budget
// refuses.
const refusedAgainAfter = 5 * time.Second

// drainFlags are those of "drain". What kubectl drain has is called as it is there.
type drainFlags struct {
	reason, key, selector, dryRun string
	kubectl                       drain.Helper
}

func (p *plugin) drain() *cobra.Command {
	f := &drainFlags{}
	c := &cobra.Command{
		Use:   `drain NODE … | -l LABELS --reason "…"`,
		Short: "Say why, and drain nodes",
		Long: `Say why, and drain nodes as kubectl drain does: cordons each, then evicts its pods, with the
reason on each eviction. The node itself is given no reason, because it may come back: to remove it
as well, use "kubectl epitaph delete node/NAME".`,
		Example:           `  kubectl epitaph drain node-5 --ignore-daemonsets --reason "its kernel is updated"`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: p.completeLiving("node"),
		RunE: func(c *cobra.Command, args []string) error {
			return p.drainNodes(c.Context(), args, f)
		},
	}
	f.bind(c)
	return c
}

func (f *drainFlags) bind(c *cobra.Command) {
	flags, k := c.Flags(), &f.kubectl
	reasonFlag(c, &f.reason)
	flags.StringVar(&f.key, "reason-key", "",
		"the annotation `key` of a pod's reason, where the cluster's configuration has one of its own")
	flags.StringVarP(&f.selector, "selector", "l", "", "the nodes that have these `labels`")
	flags.StringVar(&k.PodSelector, "pod-selector", "", "only the pods that have these `labels`")
	flags.BoolVar(&k.IgnoreAllDaemonSets, "ignore-daemonsets", false,
		"go on although pods of DaemonSets stay")
	flags.BoolVar(&k.DeleteEmptyDirData, "delete-emptydir-data", false,
		"go on although what pods have in emptyDir volumes is lost")
	flags.BoolVar(&k.Force, "force", false, "go on although nothing makes some of the pods again")
	flags.BoolVar(&k.DisableEviction, "disable-eviction", false,
		"delete instead of evicting, whatever disruption budgets say")
	flags.IntVar(&k.GracePeriodSeconds, "grace-period", -1,
		"`seconds` for each pod to end; -1 is the pod's own")
	flags.DurationVar(&k.Timeout, "timeout", 0, "give up after this time; 0 is never")
	flags.IntVar(&k.SkipWaitForDeleteTimeoutSeconds, "skip-wait-for-delete-timeout", 0,
		"do not wait for pods that have been terminating for longer than so many `seconds`")
	dryRunFlag(c, &f.dryRun)
}

// check reads the reason, and refuses flags that contradict each other.
func (f *drainFlags) check(args []string) (reason.Text, error) {
	text, err := saidReason(f.reason)
	if err != nil {
		return "", err
	}
	if (len(args) == 0) == (f.selector == "") {
		return "", fmt.Errorf("%w: name the nodes, or select them with -l", errUsage)
	}
	if _, err := labels.Parse(f.kubectl.PodSelector); err != nil {
		return "", fmt.Errorf("%w: --pod-selector: %w", errUsage, err)
	}
	return text, isOneOf("--dry-run", f.dryRun, dryRuns...)
}

func (p *plugin) drainNodes(ctx context.Context, args []string, f *drainFlags) error {
	text, err := f.check(args)
	if err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	words := []string{"nodes"}
	for _, arg := range args {
		words = append(words, strings.TrimPrefix(strings.TrimPrefix(arg, "node/"), "nodes/"))
	}
	nodes, failed, err := p.choose(c, words, choice{labels: f.selector})
	if err != nil {
		return err
	}
	d, client, err := p.drainer(ctx, c, f, text)
	if err != nil {
		return err
	}
	total := len(nodes) + len(failed)
	if total == 0 {
		fmt.Fprintln(p.errOut, "There is no such node.")
		return nil
	}
	for _, o := range nodes {
		if err := p.drainNode(ctx, c, o, d, client, f.dryRun); err != nil {
			failed = append(failed, refused{err, client.Refused()})
			continue
		}
		fmt.Fprintf(p.out, "node %q drained%s: %s\n", o.key.Name, noteOf[f.dryRun], text)
	}
	return p.result(failed, total)
}

// noteOf says beside what was done that it was not.
var noteOf = map[string]string{dryRunServer: " (server dry run)", dryRunClient: " (dry run)"}

// drainer is kubectl's own, which says why.
func (p *plugin) drainer(ctx context.Context, c *cluster.Cluster, f *drainFlags,
	text reason.Text) (*drain.Helper, *evictor.Client, error) {
	why, err := reasonOf(ctx, c, text)
	if err != nil {
		return nil, nil, err
	}
	plain, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client of %s: %w", c.Config.Host, err)
	}
	keys := reason.DefaultKeys().Pod
	if f.key != "" {
		keys = reason.Keys{Reason: f.key}
	}
	d := &f.kubectl
	client := evictor.New(plain, why, keys)
	d.Ctx, d.Client = ctx, client
	d.Out, d.ErrOut = cleaned{p.out}, cleaned{p.errOut}
	d.ChunkSize, d.EvictErrorRetryDelay = listChunk, refusedAgainAfter
	if f.dryRun == dryRunServer {
		d.DryRunStrategy = cmdutil.DryRunServer
	}
	return d, client, nil
}

// refused is an error of kubectl's code, and the API server's answer behind it, if that was that a
// right is lacking.
type refused struct{ err, answer error }

// Error is that of kubectl's code, which has the answer's text.
func (r refused) Error() string { return r.err.Error() }

// Unwrap returns both.
func (r refused) Unwrap() []error {
	if r.answer == nil {
		return []error{r.err}
	}
	return []error{r.err, r.answer}
}

func (p *plugin) drainNode(ctx context.Context, c *cluster.Cluster, o chosen, d *drain.Helper,
	client *evictor.Client, dryRun string) error {
	node := &corev1.Node{}
	if err := c.Get(ctx, o.key, node); err != nil {
		return notThere(ctx, c, o, err)
	}
	cordon := drain.NewCordonHelper(node)
	if cordon.UpdateIfRequired(true) && dryRun != dryRunClient {
		err, patch := cordon.PatchOrReplaceWithContext(ctx, d.Client, dryRun == dryRunServer)
		if err := errors.Join(err, patch); err != nil {
			return fmt.Errorf("cordon %s: %w", o, err)
		}
	}
	list, failed := d.GetPodsForDeletion(o.key.Name)
	if len(failed) > 0 {
		return fmt.Errorf("find the pods of %s, which is cordoned: %w", o, errors.Join(failed...))
	}
	if warnings := list.Warnings(); warnings != "" {
		fmt.Fprintln(d.ErrOut, "Warning:", warnings)
	}
	if dryRun == dryRunClient {
		for _, pod := range list.Pods() {
			fmt.Fprintf(d.Out, "evicting pod %s/%s (dry run)\n", pod.Namespace, pod.Name)
		}
		return nil
	}
	client.Choose(list.Pods())
	if err := d.DeleteOrEvictPods(list.Pods()); err != nil {
		return fmt.Errorf("drain %s, which is cordoned: %w", o,
			errors.Join(cluster.Each(err)...))
	}
	return nil
}

// cleaned is what kubectl's code writes to: its lines may quote what others wrote.
type cleaned struct{ to io.Writer }

// Write writes whole lines, as kubectl's code does.
func (c cleaned) Write(line []byte) (int, error) {
	_, err := fmt.Fprintln(c.to, terminal.CleanLines(strings.TrimSuffix(string(line), "\n")))
	return len(line), err
}
