package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// whyFlags are those of "why".
type whyFlags struct {
	output, uid string
}

func (p *plugin) why() *cobra.Command {
	f := whyFlags{}
	c := &cobra.Command{
		Use:   "why [pod/]NAME | node/NAME | job/NAME",
		Short: "Tell what happened, and whether it may be run again",
		Example: `  kubectl epitaph why pod/train-7
  kubectl epitaph why node/node-5
  kubectl epitaph why job/nightly -n batch`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: p.completeTargets("pod", "node", "job"),
		RunE: func(c *cobra.Command,
			args []string) error {
			return p.tell(c.Context(), args, f)
		},
	}
	outputFlag(c, &f.output, "json", "yaml")
	c.Flags().StringVar(&f.uid,
		"uid", "", "of several pods of this name the one with this `UID`, instead of the last")
	return c
}

func (p *plugin) tell(ctx context.Context, args []string, f whyFlags) error {
	t, err := targetOf(args, "pod", "node", "job")
	if err != nil {
		return err
	}
	if err := isFormat(f.output, "", "json", "yaml"); err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	s, err := p.story(ctx, c, t, types.UID(f.uid))
	if err != nil {
		return err
	}
	if f.output != "" {
		return terminal.Structured(p.out, f.output, s)
	}
	return p.print(s)
}

func (p *plugin) story(ctx context.Context, c *cluster.Cluster, t target,
	uid types.UID) (story.Story, error) {
	switch t.kind {
	case "node":
		return nodeStory(ctx, c, t.name)
	case "job":
		return jobStory(ctx, c, t.name)
	default:
		return p.podStory(ctx, c, t.name, uid)
	}
}

// podStory is of the last pod of this name that is on record; of the one that is there, where it
// has a reason or nothing is on record.
func (p *plugin) podStory(ctx context.Context, c *cluster.Cluster, name string,
	uid types.UID) (story.Story, error) {
	records, _, err := c.Pods(ctx, lookup.Filter{Namespace: c.Namespace, Pod: name})
	if err != nil {
		return story.Story{}, err
	}
	living, err := livingPod(ctx, c, name)
	if err != nil {
		return story.Story{}, err
	}
	if living != nil && (uid == living.UID || uid == "" && (len(records) == 0 || says(living))) {
		facts, err := c.Facts(ctx, lookup.Living(living, reason.DefaultKeys().Pod))
		facts.Here, facts.Untracked = true, !slices.Contains(living.Finalizers,
			batchv1.JobTrackingFinalizer)
		return story.OfPod(facts), err
	}
	chosen := -1
	for n, r := range records {
		if uid == "" || r.Spec.PodUID == uid {
			chosen = n
		}
	}
	if chosen < 0 {
		return story.Story{}, noRecord("pod "+c.Namespace+"/"+name,
			"kubectl epitaph list -n "+c.Namespace)
	}
	facts, err := c.Facts(ctx, &records[chosen])
	p.note(len(records), living, name)
	return story.OfPod(facts), err
}

// note says, beside the story, that the name has been given to more than one pod.
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

// says tells whether a living pod has something to tell: it is on its way out, or carries a reason.
func says(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || reason.DefaultKeys().Pod.Has(pod.Annotations)
}

// livingPod returns the pod of this name, nil where there is none or it may not be read.
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

func nodeStory(ctx context.Context, c *cluster.Cluster, name string) (story.Story, error) {
	records, err := c.Nodes(ctx, lookup.Filter{Node: name})
	if err != nil {
		return story.Story{}, err
	}
	if len(records) == 0 {
		return story.Story{}, noEndOf(ctx, c, name)
	}
	last := records[len(records)-1]
	// Whoever may not list the pods of all namespaces is told those of their own.
	pods, _, err := c.Pods(ctx, lookup.Filter{Node: name})
	if apierrors.IsForbidden(err) {
		pods, _, err = c.Pods(ctx, lookup.Filter{Node: name, Namespace: c.Namespace})
	}
	if err != nil && !apierrors.IsForbidden(err) {
		return story.Story{}, err
	}
	return story.OfNode(&last, lookup.Of(&last, pods)), nil
}

// noEndOf says that a node has no record: most likely it is there.
func noEndOf(ctx context.Context, c *cluster.Cluster, name string) error {
	if err := c.Get(ctx, types.NamespacedName{Name: name}, &corev1.Node{}); err == nil {
		return fmt.Errorf("%w: node %s is there, and no end of it is on record", errNotFound, name)
	}
	return noRecord("node "+name, "kubectl epitaph list nodes")
}

func jobStory(ctx context.Context, c *cluster.Cluster, name string) (story.Story, error) {
	records, err := c.JobPods(ctx, c.Namespace, name)
	if err != nil {
		return story.Story{}, err
	}
	job, gone, err := c.Job(ctx, c.Namespace, name)
	if err != nil {
		return story.Story{}, err
	}
	if gone && len(records) == 0 {
		return story.Story{}, noRecord("job "+c.Namespace+"/"+name,
			"kubectl epitaph list -n "+c.Namespace)
	}
	return story.OfJob(c.Namespace, name, job, records), nil
}

func noRecord(what, list string) error {
	return fmt.Errorf(
		"%w: %s is not on record: it never was, left in a way that is only counted (routine removals, by default), or so long ago that its record has expired. %q shows what is there", errNotFound, what, list)
}
