package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
)

// deleteFlags are those of "delete".
type deleteFlags struct {
	reason      string
	key         string
	gracePeriod int64
	overwrite   bool
}

func (p *plugin) delete() *cobra.Command {
	f := deleteFlags{}
	c := &cobra.Command{
		Use:   `delete pod/NAME | node/NAME --reason "…"`,
		Short: "Say why, and delete",
		Long: `Say why, and delete: writes the reason onto the object, then deletes that very object. If the deletion is refused, the
reason is taken off again.`,
		Example:           `  kubectl epitaph delete pod/notebook --reason "the experiment is over"`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command,
			args []string) error {
			return p.remove(c.Context(), args, f)
		},
	}
	c.Flags().StringVar(&f.reason, "reason", "", "why, in a `sentence` (required)")
	c.Flags().StringVar(&f.key, "reason-key", "",
		"the annotation `key` of the reason, where the cluster's configuration has one of its own")
	c.Flags().Int64Var(&f.gracePeriod, "grace-period", -1,
		"`seconds` for the pod to end; -1 is the pod's own")
	c.Flags().BoolVar(&f.overwrite, "overwrite", false,
		"replace a reason that somebody else has written")
	return c
}

func (p *plugin) remove(ctx context.Context, args []string, f deleteFlags) error {
	t, err := targetOf(args, "pod", "node")
	if err != nil {
		return err
	}
	text, err := reason.ParseText(f.reason)
	if errors.Is(err, reason.ErrBlank) {
		return fmt.Errorf(`%w: say why with --reason "…"`, errUsage)
	}
	if err != nil {
		return fmt.Errorf("%w: --reason: %w", errUsage, err)
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	d := deletion{Cluster: c, target: t, keys: f.keysOf(t), overwrite: f.overwrite}
	if f.gracePeriod >= 0 {
		d.options = append(d.options, client.GracePeriodSeconds(f.gracePeriod))
	}
	if err := d.run(ctx, reason.Reason{Code: reason.UserRequest, Text: text}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "%s %q deleted: %s\n", t.kind, t.name, text)
	return err
}

// keysOf are the keys to write. Of a cluster with keys of its own only the reason's is known here;
// its webhook completes the others.
func (f deleteFlags) keysOf(t target) reason.Keys {
	if f.key != "" {
		return reason.Keys{Reason: f.key}
	}
	return reason.DefaultKeys().Of(t.subject())
}

func (t target) subject() reason.Subject {
	if t.kind == "node" {
		return reason.Node
	}
	return reason.Pod
}

// A deletion gives one object its reason and deletes it.
type deletion struct {
	*cluster.Cluster
	target    target
	keys      reason.Keys
	overwrite bool
	options   []client.DeleteOption
}

func (d deletion) run(ctx context.Context, r reason.Reason) error {
	o, err := d.find(ctx)
	if err != nil {
		return err
	}
	if r.By, err = d.whoAmI(ctx); err != nil {
		return err
	}
	before := d.held(o)
	if err := d.annotate(ctx, o, d.annotations(r)); err != nil {
		return err
	}
	uid := o.GetUID()
	err = d.Delete(ctx, o, append(d.options, client.Preconditions{UID: &uid})...)
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	err = fmt.Errorf("delete %s %s: %w", d.target.kind, d.target.name, err)
	if undo := d.annotate(ctx, o, before); undo != nil && !replaced(undo) {
		return fmt.Errorf("%w. It still carries the reason that was to go with it: %w", err, undo)
	}
	return err
}

// find returns the object as it is, if it may be given a reason.
func (d deletion) find(ctx context.Context) (client.Object, error) {
	var o client.Object = &corev1.Pod{}
	key := client.ObjectKey{Namespace: d.Namespace, Name: d.target.name}
	if d.target.kind == "node" {
		o, key.Namespace = &corev1.Node{}, ""
	}
	err := d.Get(ctx, key, o)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%w: there is no %s %s: %q may know what became of it", errNotFound,
			d.target.kind, d.target.name, "kubectl epitaph why "+d.target.kind+"/"+d.target.name)
	case err != nil:
		return nil, fmt.Errorf("read %s %s: %w", d.target.kind, d.target.name, err)
	case o.GetDeletionTimestamp() != nil:
		return nil, fmt.Errorf("%s %s is being deleted already", d.target.kind, d.target.name)
	case d.keys.Has(o.GetAnnotations()) && !d.overwrite:
		return nil, fmt.Errorf(
			"%s %s carries a reason already: %q; --overwrite replaces it, kubectl delete keeps it", d.target.kind, d.target.name, terminal.Clean(o.GetAnnotations()[d.keys.Reason]))
	}
	return o, nil
}

// annotations are those of r that have a key.
func (d deletion) annotations(r reason.Reason) map[string]*string {
	all := map[string]*string{}
	for key, value := range d.keys.Annotations(r) {
		if key != "" {
			all[key] = &value
		}
	}
	return all
}

// held is what the annotations of a reason are now; nil takes one off.
func (d deletion) held(o metav1.Object) map[string]*string {
	all := d.annotations(reason.Reason{})
	for key := range all {
		all[key] = nil
		if value, ok := o.GetAnnotations()[key]; ok {
			all[key] = &value
		}
	}
	return all
}

// replaced tells whether the object that was meant is gone, be it that another has its name.
func replaced(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || apierrors.IsConflict(err)
}
