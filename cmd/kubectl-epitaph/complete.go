package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

const (
	// completionLimit bounds how long a shell waits for names.
	completionLimit = 2 * time.Second
	// maxNames bounds how many names a shell gets.
	maxNames = 200
)

// The kinds of live objects whose names are completed most often.
var (
	namespaces = corev1.SchemeGroupVersion.WithKind("NamespaceList")
	nodes      = corev1.SchemeGroupVersion.WithKind("NodeList")
	pods       = corev1.SchemeGroupVersion.WithKind("PodList")
)

// completeTargets completes the kind, then the names: of existing objects and, if recorded is set,
// of those on record; of many targets, or of one.
func (p *plugin) completeTargets(recorded, many bool, allowed ...string) cobra.CompletionFunc {
	const nothing = cobra.ShellCompDirectiveNoFileComp
	offered := slices.DeleteFunc(slices.Clone(allowed),
		func(k string) bool { return k == anyOwner })
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion,
		cobra.ShellCompDirective) {
		if !many && len(args) > 1 {
			return nil, nothing
		}
		if len(args) > 0 && !strings.Contains(args[0], "/") { // TYPE NAME
			return p.targets(c.Context(), recorded, args[0], "", args[1:]), nothing
		}
		if len(args) > 0 && !many {
			return nil, nothing
		}
		kind, _, named := strings.Cut(typed, "/")
		if !named {
			return suffixed(offered, "/"), cobra.ShellCompDirectiveNoSpace | nothing
		}
		return p.targets(c.Context(), recorded, kind, kind+"/", args), nothing
	}
}

// targets returns the names of a kind, each after a prefix, without those that are given already.
func (p *plugin) targets(ctx context.Context, recorded bool, word, prefix string,
	given []string) []string {
	kind := canonical(word)
	all := p.complete(ctx, func(ctx context.Context, c *cluster.Cluster) []string {
		names := living(ctx, c, kind)
		if recorded {
			names = append(names, onRecord(ctx, c, kind)...)
		}
		return names
	})
	for n := range all {
		all[n] = prefix + all[n]
	}
	return slices.DeleteFunc(all, func(name string) bool { return slices.Contains(given, name) })
}

func suffixed(words []string, suffix string) []string {
	all := slices.Clone(words)
	for n := range all {
		all[n] += suffix
	}
	return all
}

// complete asks the cluster for names, sorts them and bounds their number. Completion cannot show
// errors.
func (p *plugin) complete(ctx context.Context,
	ask func(context.Context, *cluster.Cluster) []string) []string {
	c, err := p.connect()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionLimit)
	defer cancel()
	all := ask(ctx, c)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), maxNames)]
}

// living returns the names of existing objects.
func living(ctx context.Context, c *cluster.Cluster, kind string) []string {
	var mapping *meta.RESTMapping
	var err error
	switch of, is := ownerKinds[kind]; {
	case kind == "pod": // What is asked for most often needs no discovery.
		return names(ctx, c, pods, c.Namespace)
	case kind == "node":
		return names(ctx, c, nodes, "")
	case is:
		mapping, err = c.Mapper.RESTMapping(of)
	default:
		mapping, err = mappingOf(c, kind)
	}
	if err != nil {
		return nil
	}
	list, namespace := mapping.GroupVersionKind, c.Namespace
	list.Kind += "List"
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		namespace = ""
	}
	return names(ctx, c, list, namespace)
}

func mappingOf(c *cluster.Cluster, word string) (*meta.RESTMapping, error) {
	known, err := c.Resources()
	if err != nil {
		return nil, err
	}
	return known.Mapping(word)
}

// names lists only the names of objects.
func names(ctx context.Context, c *cluster.Cluster, kind schema.GroupVersionKind,
	namespace string) []string {
	all := &metav1.PartialObjectMetadataList{}
	all.SetGroupVersionKind(kind)
	if c.List(ctx, all, client.InNamespace(namespace), client.Limit(maxNames)) != nil {
		return nil
	}
	found := make([]string, len(all.Items))
	for n, o := range all.Items {
		found[n] = o.Name
	}
	return found
}

// onRecord returns the names on record.
func onRecord(ctx context.Context, c *cluster.Cluster, kind string) []string {
	var all []string
	if kind == "node" {
		nodes, _ := c.Nodes(ctx, lookup.Filter{})
		for _, o := range nodes {
			all = append(all, terminal.Clean(o.Spec.NodeName))
		}
		return all
	}
	pods, _, _ := c.Pods(ctx, lookup.Filter{Namespace: c.Namespace, Max: maxNames})
	for _, o := range pods {
		if kind == "pod" {
			all = append(all, terminal.Clean(o.Spec.PodName))
		}
		for _, owner := range o.Spec.Owners {
			if of, is := ownerKinds[kind]; is && story.IsKind(owner, of) {
				all = append(all, terminal.Clean(owner.Name))
			}
		}
	}
	return all
}

// completeFlags completes the values of the flags that all commands have, as kubectl does.
func (p *plugin) completeFlags(root *cobra.Command) {
	byAPI := func(kind schema.GroupVersionKind) cobra.CompletionFunc {
		return func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion,
			cobra.ShellCompDirective) {
			return p.complete(c.Context(), func(ctx context.Context, c *cluster.Cluster) []string {
				return names(ctx, c, kind, "")
			}), cobra.ShellCompDirectiveNoFileComp
		}
	}
	byFile := func(which func(*clientcmdapi.Config) []string) cobra.CompletionFunc {
		return func(*cobra.Command, []string, string) ([]cobra.Completion,
			cobra.ShellCompDirective) {
			return which(p.flags.File()), cobra.ShellCompDirectiveNoFileComp
		}
	}
	for flag, complete := range map[string]cobra.CompletionFunc{
		"namespace": byAPI(namespaces),
		"context": byFile(func(c *clientcmdapi.Config) []string {
			return slices.Sorted(maps.Keys(c.Contexts))
		}),
		"cluster": byFile(func(c *clientcmdapi.Config) []string {
			return slices.Sorted(maps.Keys(c.Clusters))
		}),
		"user": byFile(func(c *clientcmdapi.Config) []string {
			return slices.Sorted(maps.Keys(c.AuthInfos))
		}),
	} {
		register(root, flag, complete)
	}
	for _, c := range root.Commands() {
		if c.Flags().Lookup("node") != nil {
			register(c, "node", p.completeNames("node"))
		}
		if c.Flags().Lookup("pod") != nil {
			register(c, "pod", p.completeNames("pod"))
		}
	}
}

// completeLiving completes the names of existing objects that are not given yet.
func (p *plugin) completeLiving(kind string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion,
		cobra.ShellCompDirective) {
		return p.targets(c.Context(), false, kind, "", args), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNames completes the names on record.
func (p *plugin) completeNames(kind string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion,
		cobra.ShellCompDirective) {
		return p.complete(c.Context(), func(ctx context.Context, c *cluster.Cluster) []string {
			return onRecord(ctx, c, kind)
		}), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag completes the value of an existing flag with one of a few words.
func completeFlag(c *cobra.Command, flag string, words ...string) {
	register(c, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func register(c *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // There is no such flag, which is a programming error.
	}
}

func codes() []string {
	var all []string
	for _, c := range reason.Codes() {
		all = append(all, string(c))
	}
	return all
}
