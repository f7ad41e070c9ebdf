package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

const (
	// completionLimit bounds how long a shell waits for names.
	completionLimit = 2 * time.Second
	// maxNames bounds how many a shell is given.
	maxNames = 200
)

// completeTargets completes the kind, then the names that are on record.
func (p *plugin) completeTargets(allowed ...string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion,
		cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		kind, _, named := strings.Cut(typed, "/")
		if !named {
			return suffixed(allowed,
				"/"), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(c.Context(), completionLimit)
		defer cancel()
		names := p.names(ctx, kind)
		for n := range names {
			names[n] = kind + "/" + names[n]
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func suffixed(words []string, suffix string) []string {
	all := slices.Clone(words)
	for n := range all {
		all[n] += suffix
	}
	return all
}

// names are those on record. A shell that completes has no place for an error.
func (p *plugin) names(ctx context.Context, kind string) []string {
	c, err := p.connect()
	if err != nil {
		return nil
	}
	var all []string
	if kind == "node" {
		nodes, _ := c.Nodes(ctx, lookup.Filter{})
		for _, o := range nodes {
			all = append(all, terminal.Clean(o.Spec.NodeName))
		}
	} else {
		pods, _, _ := c.Pods(ctx, lookup.Filter{Namespace: c.Namespace, Max: maxNames})
		for _, o := range pods {
			switch {
			case kind == "pod":
				all = append(all, terminal.Clean(o.Spec.PodName))
			case len(o.Spec.Owners) > 0 && o.Spec.Owners[0].Kind == "Job":
				all = append(all, terminal.Clean(o.Spec.Owners[0].Name))
			}
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), maxNames)]
}

// completeFlag completes the value of a flag that is there with one of a few words.
func completeFlag(c *cobra.Command, flag string, words ...string) {
	if err := c.RegisterFlagCompletionFunc(flag,
		cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // There is no such flag: no user can bring that about.
	}
}

func codes() []string {
	var all []string
	for _, c := range reason.Codes() {
		all = append(all, string(c))
	}
	return all
}
