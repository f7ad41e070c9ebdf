package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/config"
)

// archiveQuery are the flags that select records of the archive.
type archiveQuery struct {
	file         string
	kind         string
	selector     string
	since, until string
	q            archive.Query
}

func (a *archiveQuery) bind(flags *pflag.FlagSet) {
	flags.StringVar(&a.file, "config", "", "the configuration `file` (required)")
	flags.StringVar(&a.kind, "kind", "", "only records of a Pod, a Node or an Owner")
	flags.StringVar(&a.q.Cluster, "cluster", "", "only of this `cluster`; without it, of all")
	flags.StringVar(&a.q.Namespace, "namespace", "", "only of this `namespace`")
	flags.StringVar(&a.q.Name, "name", "", "only pods, nodes or owners of this `name`")
	flags.StringVar(&a.q.Subject, "uid", "", "only the pod, node or owner with this `UID`")
	flags.StringVar(&a.q.Node, "node", "", "only of this `node`")
	flags.StringVar(&a.q.Code, "code", "", "only this `code`")
	flags.StringVar(&a.q.Class, "class", "", "only this `class`")
	flags.StringVar(&a.q.Owner, "owner", "", "only pods that belonged to an owner of this `name`")
	flags.StringVarP(&a.selector, "selector", "l", "", "only records with these `labels`")
	flags.StringVar(&a.since, "since", "", "only what left from this `time` on (RFC 3339)")
	flags.StringVar(&a.until, "until", "", "only what left before this `time` (RFC 3339)")
}

func (a *archiveQuery) query(c *cobra.Command) (archive.Query, error) {
	q := a.q
	if a.file == "" {
		return q, usage(c, errors.New("--config is missing: name the configuration file"))
	}
	switch q.Kind = archive.Kind(a.kind); q.Kind {
	case "", archive.PodKind, archive.NodeKind, archive.OwnerKind:
	default:
		return q, usage(c, fmt.Errorf("--kind is %q: it is Pod, Node or Owner", a.kind))
	}
	if a.selector != "" {
		selector, err := labels.Parse(a.selector)
		if err != nil {
			return q, usage(c, fmt.Errorf("--selector: %w", err))
		}
		q.Labels = selector
	}
	for text, to := range map[*string]*time.Time{&a.since: &q.Since, &a.until: &q.Until} {
		if *text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, *text)
		if err != nil {
			return q, usage(c, fmt.Errorf("%q is no time: write it as 2026-11-30T12:00:00Z", *text))
		}
		*to = at
	}
	return q, nil
}

// with answers a query from the archive of the configuration.
func (a *archiveQuery) with(c *cobra.Command,
	answer func(context.Context, archive.Store, archive.Query) error) error {
	q, err := a.query(c)
	if err != nil {
		return err
	}
	settings, err := config.Load(a.file)
	if err != nil {
		return err
	}
	store, err := openStore(c.Context(), settings.Archive, clock.RealClock{})
	if err != nil {
		return err
	}
	defer store.Close()
	return answer(c.Context(), store, q)
}

func archiveListCommand() *cobra.Command {
	a, limit := archiveQuery{}, 0
	c := &cobra.Command{
		Use:   "list --config FILE",
		Short: "Print records of the archive as JSON, one a line, the newest first",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c, func(ctx context.Context, s archive.Store, q archive.Query) error {
				return printRecords(ctx, c.OutOrStdout(), s, q, limit)
			})
		},
	}
	a.bind(c.Flags())
	c.Flags().IntVar(&limit, "limit", 100, "at most that many; 0 for all")
	return c
}

func archiveGetCommand() *cobra.Command {
	a := archiveQuery{}
	c := &cobra.Command{
		Use:   "get CLUSTER UID --config FILE",
		Short: "Print one record of the archive as JSON, by its cluster and its own UID",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(c, errors.New("name the cluster and the UID of the record"))
			}
			return a.with(c, func(ctx context.Context, s archive.Store, _ archive.Query) error {
				r, err := s.Get(ctx, args[0], args[1])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", r.Document)
				return err
			})
		},
	}
	c.Flags().StringVar(&a.file, "config", "", "the configuration `file` (required)")
	return c
}

// printRecords prints page after page, until the limit.
func printRecords(ctx context.Context, to io.Writer, s archive.Store, q archive.Query,
	limit int) error {
	for printed := 0; ; {
		if limit > 0 {
			q.Limit = min(limit-printed, archive.MaxLimit)
		}
		page, err := s.List(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			line, err := json.Marshal(struct {
				Cluster string          `json:"cluster"`
				Record  json.RawMessage `json:"record"`
			}{r.Cluster, r.Document})
			if err != nil {
				return fmt.Errorf("read a record of the archive: %w", err)
			}
			if _, err := fmt.Fprintf(to, "%s\n", line); err != nil {
				return err
			}
		}
		printed += len(page.Records)
		if q.Cursor = page.Next; q.Cursor == "" || limit > 0 && printed >= limit {
			return nil
		}
	}
}

func archiveCountCommand() *cobra.Command {
	a, by := archiveQuery{}, ""
	c := &cobra.Command{
		Use:   "count --config FILE --by FIELD[,FIELD]",
		Short: "Count records of the archive, by up to three fields",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var fields []archive.Field
			for name := range strings.SplitSeq(by, ",") {
				fields = append(fields, archive.Field(name))
			}
			return a.with(c, func(ctx context.Context, s archive.Store, q archive.Query) error {
				counts, err := s.Count(ctx, q, fields)
				if err != nil {
					return err
				}
				for _, n := range counts {
					line, err := json.Marshal(n)
					if err != nil {
						return fmt.Errorf("write a number: %w", err)
					}
					if _, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", line); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	a.bind(c.Flags())
	c.Flags().StringVar(&by, "by", string(archive.ByCode),
		"the `fields`: cluster, namespace, node, code, class, day, month, pool, kernel, fingerprint or label:KEY")
	return c
}
