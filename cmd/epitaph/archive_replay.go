package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/replay"
	"github.com/epitaph-k8s/epitaph/config"
)

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
			tally, err := replay.NewTally(settings)
			if err != nil {
				return err
			}
			return a.with(c, func(ctx context.Context, s archive.Store, q archive.Query) error {
				counts, err := replayAll(ctx, s, q, tally)
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
	tally *replay.Tally) ([]replay.Count, error) {
	for {
		page, err := s.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for n := range page.Records {
			tally.Add(page.Records[n].Kind, page.Records[n].Document)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return tally.Counts(), nil
		}
	}
}

// printReplayed prints numbers as JSON, one a line.
func printReplayed(to io.Writer, counts []replay.Count) error {
	for _, n := range counts {
		line, err := json.Marshal(n)
		if err != nil {
			return fmt.Errorf("write a number: %w", err)
		}
		if _, err := fmt.Fprintf(to, "%s\n", line); err != nil {
			return err
		}
	}
	return nil
}
