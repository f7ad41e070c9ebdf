package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// maxReplayed bounds how many users and namespaces are told apart; the others are counted without.
const maxReplayed = 10000

// A replayed is how many deletions would have come out the same.
type replayed struct {
	Became webhook.Retrospect `json:"became"`
	Rule   string             `json:"rule,omitempty"`
	// Lacks is what is on no record, and would have decided.
	Lacks     string `json:"lacks,omitempty"`
	User      string `json:"user,omitempty"`
	Namespace string `json:"namespace,omitempty"`
}

func archiveReplayCommand() *cobra.Command {
	a, policy := archiveQuery{}, ""
	c := &cobra.Command{
		Use:   "replay --config FILE --policy FILE",
		Short: "Count which deletions of the archive a policy would have denied",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if policy == "" {
				return usage(c, errors.New("--policy is missing: name a configuration file with the policy"))
			}
			settings, err := config.Load(policy)
			if err != nil {
				return err
			}
			replay, err := webhook.NewReplay(settings)
			if err != nil {
				return err
			}
			return a.with(c, func(ctx context.Context, s archive.Store, q archive.Query) error {
				counts, err := replayAll(ctx, s, q, replay)
				if err != nil {
					return err
				}
				return printReplayed(c.OutOrStdout(), counts)
			})
		},
	}
	a.bind(c.Flags())
	c.Flags().StringVar(&policy, "policy", "",
		"a configuration `file` with the policy (webhook.rules) to try; /dev/stdin for standard input (required)")
	return c
}

// replayAll decides about every record of pods and nodes.
func replayAll(ctx context.Context, s archive.Store, q archive.Query,
	replay *webhook.Replay) (map[replayed]int64, error) {
	counts := map[replayed]int64{}
	for {
		page, err := s.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for n := range page.Records {
			past, ok := pastOf(&page.Records[n])
			if !ok {
				continue
			}
			key := replayed{}
			key.Became, key.Rule, key.Lacks = replay.Decide(past)
			if key.Became == webhook.WouldBeDenied {
				key.User, key.Namespace = past.User, past.Namespace
			}
			if _, known := counts[key]; !known && len(counts) >= maxReplayed {
				key.User, key.Namespace = "", ""
			}
			counts[key]++
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return counts, nil
		}
	}
}

// pastOf reads what the policy looks at out of a record; ok is false of other kinds, and of what is
// no record of ours.
func pastOf(r *archive.Record) (past webhook.Past, ok bool) {
	var said struct {
		Spec struct {
			DeletedBy string              `json:"deletedBy"`
			Amended   *v1alpha1.Amendment `json:"amended"`
			Returned  bool                `json:"returned"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(r.Document, &said); err != nil || said.Spec.Returned {
		return past, false // a node that came back was never deleted
	}
	past = webhook.Past{Namespace: r.Namespace, User: said.Spec.DeletedBy,
		Explained: r.Code != string(reason.Unexplained)}
	if a := said.Spec.Amended; a != nil && a.Was != "" {
		past.Explained = a.Was != string(reason.Unexplained) // only later did anybody know
	}
	switch r.Kind {
	case archive.PodKind:
		past.Subject = reason.Pod
	case archive.NodeKind:
		past.Subject, past.Namespace = reason.Node, ""
	default:
		return past, false
	}
	return past, true
}

// printReplayed prints numbers as JSON, one a line, the largest first.
func printReplayed(to io.Writer, counts map[replayed]int64) error {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b replayed) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.Became, b.Became),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.User, b.User),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Lacks, b.Lacks))
	})
	for _, key := range keys {
		line, err := json.Marshal(struct {
			replayed
			N int64 `json:"n"`
		}{key, counts[key]})
		if err != nil {
			return fmt.Errorf("write a number: %w", err)
		}
		if _, err := fmt.Fprintf(to, "%s\n", line); err != nil {
			return err
		}
	}
	return nil
}
