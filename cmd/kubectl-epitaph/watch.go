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
	s := &selection{}
	c := &cobra.Command{
		Use:   "watch",
		Short: "Show what leaves from now on, until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return p.follow(c.Context(), s) },
	}
	s.bind(c)
	return c
}

func (p *plugin) follow(ctx context.Context, s *selection) error {
	c, err := p.connect()
	if err != nil {
		return err
	}
	filter, err := s.within(c, p.clock.Now())
	if err != nil {
		return err
	}
	columns := &terminal.Columns{Out: p.out}
	if err := columns.Write(podHeader(s.allNamespaces, false)); err != nil {
		return err
	}
	for {
		err := each(ctx, c, filter, func(o *v1alpha1.PodObituary) error {
			return columns.Write(p.podRow(o, s.allNamespaces, false))
		})
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

// errMissed means that a watch could not go on where it was.
var errMissed = errors.New("the watch has expired")

// each calls show for every record that is made from now on. It goes on where it was when the
// connection breaks.
func each(ctx context.Context, c *cluster.Cluster, want lookup.Filter,
	show func(*v1alpha1.PodObituary) error) error {
	now := &v1alpha1.PodObituaryList{}
	if err := c.List(ctx, now, append(want.Options(), client.Limit(1))...); err != nil {
		return fmt.Errorf("list pod obituaries: %w", err)
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
