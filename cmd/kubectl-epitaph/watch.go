package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

func (p *plugin) watch() *cobra.Command {
	s, output := &selection{}, recordOutput{}
	c := &cobra.Command{
		Use:   "watch",
		Short: "Show what leaves from now on, until Ctrl-C",
		Long: `Show what leaves from now on, until Ctrl-C. With -o it writes each record as a document of its own,
as it comes: with "-o json" one on each line.`,
		Example: `  kubectl epitaph watch -A --class disruption
  kubectl epitaph watch -o json | jq .spec.reason`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.follow(c.Context(), s, output) },
	}
	s.bind(c)
	output.bind(c, "wide")
	return c
}

func (p *plugin) follow(ctx context.Context, s *selection, output recordOutput) error {
	show, err := p.shower(output, s.allNamespaces)
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	filter := s.within(c, p.clock.Now())
	for begin := show.header; ; begin = func() error { return nil } {
		err := each(ctx, c, filter, begin, show.record)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errMissed) {
			return err
		}
		fmt.Fprintln(p.errOut,
			"The API server no longer knows where the watch was, and some records may have been missed: kubectl epitaph list")
	}
}

// A shower writes records as they come.
type shower struct {
	header func() error
	record func(*v1alpha1.PodObituary) error
}

func (p *plugin) shower(output recordOutput, namespaces bool) (shower, error) {
	printer, err := output.printer("wide")
	if err != nil {
		return shower{}, err
	}
	rows := &terminal.Columns{Out: p.out}
	if of, is := printer.(*columns); is {
		return shower{func() error { return rows.Write(of.header) },
			func(o *v1alpha1.PodObituary) error {
				one, err := recordOf(o, output.managedFields)
				if err != nil {
					return err
				}
				row, err := of.row(one.Object)
				if err != nil {
					return err
				}
				return rows.Write(row)
			}}, nil
	}
	if printer != nil {
		return shower{func() error { return nil }, func(o *v1alpha1.PodObituary) error {
			return p.printRecord(printer, o, output)
		}}, nil
	}
	wide := output.format == "wide"
	return shower{func() error { return rows.Write(podHeader(namespaces, wide)) },
		func(o *v1alpha1.PodObituary) error {
			return rows.Write(p.podRow(o, namespaces, wide))
		}}, nil
}

// errMissed means that a watch could not resume where it had stopped.
var errMissed = errors.New("the watch has expired")

// each calls begin once it may watch, and show for every record that is made from then on. If the
// connection breaks, it resumes where it had stopped.
func each(ctx context.Context, c *cluster.Cluster, want lookup.Filter, begin func() error,
	show func(*v1alpha1.PodObituary) error) error {
	now := &v1alpha1.PodObituaryList{}
	if err := c.List(ctx, now, append(want.Options(), client.Limit(1))...); err != nil {
		return fmt.Errorf("list pod obituaries: %w", err)
	}
	if err := begin(); err != nil {
		return err
	}
	w, err := toolswatch.NewRetryWatcherWithContext(ctx, now.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface,
			error) {
			return c.Watch(ctx, &v1alpha1.PodObituaryList{},
				append(want.Options(), &client.ListOptions{Raw: &o})...)
		},
	})
	if err != nil {
		return fmt.Errorf("watch pod obituaries: %w", err)
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		switch o := event.Object.(type) {
		case *v1alpha1.PodObituary:
			if event.Type == watch.Added {
				if err := show(o); err != nil {
					return err
				}
			}
		case *metav1.Status:
			if apierrors.IsResourceExpired(apierrors.FromObject(o)) ||
				apierrors.IsGone(apierrors.FromObject(o)) {
				return errMissed
			}
			return fmt.Errorf("watch pod obituaries: %w", apierrors.FromObject(o))
		}
	}
	return errMissed
}
