package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// whyFlags are those of "why".
type whyFlags struct {
	output documentOutput
	uid    string
	wait   time.Duration
}

const (
	// recordWait is how long a record may take that is being written: it follows the end of a pod
	// by about a second.
	recordWait = 3 * time.Second
	// untilRecorded is how often it is looked for meanwhile.
	untilRecorded = time.Second / 2
)

func (p *plugin) why() *cobra.Command {
	f := whyFlags{}
	c := &cobra.Command{
		Use:   "why [pod/]NAME | node/NAME | KIND/NAME",
		Short: "Tell what happened, and whether it may be run again",
		Long: `Tell what happened to a pod, to a node, or to all pods of an owner, and whether it may be run
again. Owners are jobs, cronjobs, deployments, statefulsets, daemonsets, replicasets, and those of
any other kind as KIND.GROUP/NAME. An owner that is gone is told of by what is on record.`,
		Example: `  kubectl epitaph why pod/train-7
  kubectl epitaph why node/node-5
  kubectl epitaph why job/nightly -n batch
  kubectl epitaph why workflow.argoproj.io/etl -o yaml`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: p.completeTargets(true, false, told...),
		RunE: func(c *cobra.Command,
			args []string) error {
			return p.tell(c.Context(), args, f)
		},
	}
	f.output.bind(c)
	c.Flags().StringVar(&f.uid,
		"uid", "", "of several pods of this name the one with this `UID`, instead of the last")
	c.Flags().DurationVar(&f.wait, "wait", recordWait,
		"how long to look again for what is not on record: it may have left just now")
	return c
}

func (p *plugin) tell(ctx context.Context, args []string, f whyFlags) error {
	t, err := targetOf(args, told...)
	if err != nil {
		return err
	}
	printer, err := f.output.printer()
	if err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	a, err := soonest(ctx, f.wait, func() (account, error) {
		return p.account(ctx, c, t, types.UID(f.uid))
	})
	if err != nil {
		return err
	}
	if printer != nil {
		return p.printDocument(printer, f.output, a.data)
	}
	return p.print(a.story)
}

// An account is what happened, for people and for programs.
type account struct {
	story story.Story
	data  any
}

// soonest asks again, for that long, for what is not found.
func soonest(ctx context.Context, within time.Duration,
	ask func() (account, error)) (a account, err error) {
	if a, err = ask(); within <= 0 || !errors.Is(err, errNotFound) {
		return a, err
	}
	// That the time is over is no error of its own: what was found last is.
	_ = wait.PollUntilContextTimeout(ctx, untilRecorded, within, false,
		func(context.Context) (bool, error) {
			a, err = ask()
			return !errors.Is(err, errNotFound), nil
		})
	return a, err
}

func (p *plugin) account(ctx context.Context, c *cluster.Cluster, t target,
	uid types.UID) (account, error) {
	switch {
	case t.kind == "node" && t.group == "":
		return ofNode(ctx, c, t.name)
	case t.kind == "pod" && t.group == "":
		return p.ofPod(ctx, c, t.name, uid)
	default:
		return ofWorkload(ctx, c, t)
	}
}

// ofPod tells of the last recorded pod of this name, or of the existing one if that
// has a reason or nothing is on record.
func (p *plugin) ofPod(ctx context.Context, c *cluster.Cluster, name string,
	uid types.UID) (account, error) {
	want := lookup.Filter{Namespace: c.Namespace, Pod: name}
	if uid != "" {
		want.Since = time.Unix(0, 0) // Another pod of this name may be on record here.
	}
	records, _, err := c.Pods(ctx, want)
	if err != nil {
		return account{}, err
	}
	living, err := livingPod(ctx, c, name)
	if err != nil {
		return account{}, err
	}
	if living != nil && (uid == living.UID || uid == "" && (len(records) == 0 || says(living))) {
		facts, err := c.Facts(ctx, lookup.Living(living, reason.DefaultKeys().Pod))
		facts.Here, facts.Untracked = true, !slices.Contains(living.Finalizers,
			batchv1.JobTrackingFinalizer)
		return account{story.OfPod(facts), facts.Data()}, err
	}
	chosen := -1
	for n, r := range records {
		if uid == "" || r.Spec.PodUID == uid {
			chosen = n
		}
	}
	if chosen < 0 {
		return account{}, noPod(ctx, c, name, uid)
	}
	facts, err := c.Facts(ctx, &records[chosen])
	p.note(len(records), living, name)
	return account{story.OfPod(facts), facts.Data()}, err
}

// note says, besides the story, that several pods have had this name.
func (p *plugin) note(records int, living *corev1.Pod, name string) {
	if living != nil {
		fmt.Fprintf(p.errOut,
			"A pod %s is there now (--uid %s); this is the story of an earlier one.\n",
			terminal.Clean(name), living.UID)
	}
	if records > 1 {
		fmt.Fprintf(p.errOut,
			"%d pods of this name are on record; \"list --pod %s -o wide\" shows their UIDs, "+
				"--uid chooses.\n", records, terminal.Clean(name))
	}
}

// says reports whether a living pod has a story: it is being deleted, or carries a reason.
func says(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || reason.DefaultKeys().Pod.Has(pod.Annotations)
}

// livingPod returns the pod of this name; nil if there is none or it may not be read.
func livingPod(ctx context.Context, c *cluster.Cluster, name string) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	err := c.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: name}, pod)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read pod %s/%s: %w", c.Namespace, name, err)
	}
	return pod, nil
}

// ofNode tells of the last end of a node, and, if it exists, how it is and what it has lost.
func ofNode(ctx context.Context, c *cluster.Cluster, name string) (account, error) {
	records, err := c.Nodes(ctx, lookup.Filter{Node: name})
	if err != nil {
		return account{}, err
	}
	node := &corev1.Node{}
	err = c.Get(ctx, types.NamespacedName{Name: name}, node)
	lives := err == nil
	switch {
	case len(records) == 0 && (apierrors.IsNotFound(err) || apierrors.IsForbidden(err)):
		return account{}, noNode(ctx, c, name)
	case err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err):
		return account{}, fmt.Errorf("read node %s: %w", name, err)
	}
	pods, only, err := onNode(ctx, c, name)
	if err != nil {
		return account{}, err
	}
	var last *v1alpha1.NodeObituary
	var with []v1alpha1.PodObituary // those that ended with the node
	if len(records) > 0 {
		last = &records[len(records)-1]
		with = lookup.Of(last, pods)
	}
	if !lives {
		return account{story.OfNode(last, with), story.DataOfNode(last, with)}, nil
	}
	l := story.LivingNode{Node: node, End: last, Lost: after(last, pods), Only: only}
	return account{l.Story(with), l.Data(with)}, nil
}

// onNode returns the recorded pods of a node. A caller who may not list those of all namespaces
// gets those of their own, which is named then.
func onNode(ctx context.Context, c *cluster.Cluster, node string) (pods []v1alpha1.PodObituary,
	only string, err error) {
	pods, _, err = c.Pods(ctx, lookup.Filter{Node: node})
	if !apierrors.IsForbidden(err) {
		return pods, "", err
	}
	pods, _, err = c.Pods(ctx, lookup.Filter{Node: node, Namespace: c.Namespace})
	if apierrors.IsForbidden(err) {
		return nil, c.Namespace, nil
	}
	return pods, c.Namespace, err
}

// after returns the pods that left after an end of their node, and not with it.
func after(end *v1alpha1.NodeObituary, pods []v1alpha1.PodObituary) (lost []v1alpha1.PodObituary) {
	for _, p := range pods {
		if end == nil || p.Spec.NodeObituary != end.Name &&
			p.Spec.Removed.After(end.Spec.Removed.Time) {
			lost = append(lost, p)
		}
	}
	return lost
}

// noNode says that a node neither exists nor is on record, and which may have been meant.
func noNode(ctx context.Context, c *cluster.Cluster, name string) error {
	known := append(names(ctx, c, nodes, ""), onRecord(ctx, c, "node")...)
	return noRecord("node "+name, nearest(name, known), "kubectl epitaph list nodes")
}

// ofWorkload tells of an owner and all its pods.
func ofWorkload(ctx context.Context, c *cluster.Cluster, t target) (account, error) {
	w, err := c.Workload(ctx, t.owner(c.Namespace), reason.DefaultKeys().Pod)
	if err != nil {
		return account{}, err
	}
	if w.Gone && w.Deletion == nil && len(w.Pods)+len(w.Here) == 0 {
		if err := missing(ctx, c, c.Namespace); err != nil {
			return account{}, err
		}
		known := append(living(ctx, c, t.kind), onRecord(ctx, c, t.kind)...)
		return account{}, noRecord(strings.TrimSuffix(t.String(), "/"+t.name)+" "+c.Namespace+"/"+
			t.name, nearest(t.name, known), "kubectl epitaph list -n "+c.Namespace)
	}
	return account{story.OfWorkload(w), w.Data()}, nil
}

// noPod says that a pod is not on record, and which may have been meant.
func noPod(ctx context.Context, c *cluster.Cluster, name string, uid types.UID) error {
	if err := missing(ctx, c, c.Namespace); err != nil {
		return err
	}
	what := "pod " + c.Namespace + "/" + name
	if uid != "" {
		what += " with the UID " + string(uid)
	}
	elsewhere, _, err := c.Finder.Pods(ctx, lookup.Filter{Pod: name, Max: 1})
	if err == nil && len(elsewhere) > 0 && elsewhere[0].Namespace != c.Namespace {
		return fmt.Errorf("%w: %s is not on record; one of that name is in another namespace: -n %s",
			errNotFound, what, elsewhere[0].Namespace)
	}
	known := append(names(ctx, c, pods, c.Namespace), onRecord(ctx, c, "pod")...)
	return noRecord(what, nearest(name, known), "kubectl epitaph list -n "+c.Namespace)
}

// noRecord says that something is not on record, and near what may have been meant, if anything.
func noRecord(what, near, list string) error {
	err := fmt.Errorf("%w: %s is not on record", errNotFound, what)
	if near != "" {
		return fmt.Errorf("%w: did you mean %s? %q shows what is there", err, near, list)
	}
	return fmt.Errorf(
		"%w: it never was, left in a way that is only counted (routine removals, by default), or so long ago that its record has expired. %q shows what is there", err, list)
}
