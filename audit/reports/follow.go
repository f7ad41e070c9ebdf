package reports

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	epitaph "github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/internal/pause"
)

// lookAround is how long one watch lasts. Then every report is checked for what a watch does not
// show: that somebody changed or removed it.
const lookAround = 10 * time.Minute

// followNodes schedules a check of the cluster's report when an obituary of a node comes, changes
// or goes.
func (r *Reports) followNodes(ctx context.Context) (stop func(), err error) {
	informer, err := r.Cache.GetInformer(ctx, &epitaph.NodeObituary{})
	if err != nil {
		return nil, err
	}
	registration, err := informer.AddEventHandler(r.guard.Handler("event of an obituary",
		toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { r.touch("") },
			UpdateFunc: func(_, _ any) { r.touch("") },
			DeleteFunc: func(any) { r.touch("") },
		}))
	if err != nil {
		return nil, err
	}
	return func() { _ = informer.RemoveEventHandler(registration) }, nil
}

// followPods schedules a check of a namespace's report when a finding in it comes, changes or goes,
// until ctx is done.
func (r *Reports) followPods(ctx context.Context) {
	pauses := restarts()
	for ctx.Err() == nil {
		began := r.Clock.Now()
		err := r.guard.Do("watch of findings", func() error { return r.follow(ctx) })
		if err != nil && ctx.Err() == nil {
			r.Log.Error(err, "findings not followed, will be retried")
		}
		if r.Clock.Since(began) > lastRetry {
			pauses = restarts()
		}
		pause.For(ctx, r.Clock, pauses.Step())
	}
}

// restarts returns the waits before everything is read again.
func restarts() wait.Backoff {
	return wait.Backoff{Duration: firstRetry, Factor: 2, Jitter: 0.2, Steps: 8, Cap: lastRetry}
}

// follow touches every namespace that has a finding or a report, and then those with changes, until
// the watch ends.
func (r *Reports) follow(ctx context.Context) error {
	r.touch("")
	if err := r.touchReported(ctx); err != nil {
		return err
	}
	from, err := r.touchFound(ctx)
	if err != nil {
		return err
	}
	return r.watch(ctx, from)
}

// touchReported touches the namespaces that have a report: its last finding may have gone unseen.
// If the API server does not have the kind, that is found out and reported when a report is to be
// written.
func (r *Reports) touchReported(ctx context.Context) error {
	page := metadataOf(r.api.version.WithKind(r.api.namespaced))
	err := r.pages(ctx, page, client.MatchingFields{"metadata.name": Name})
	if err != nil && !kindMissing(err) {
		return fmt.Errorf("list the reports: %w", err)
	}
	return nil
}

// touchFound touches the namespaces that have findings, and returns the revision of the list.
func (r *Reports) touchFound(ctx context.Context) (revision string, err error) {
	page := metadataOf(epitaph.GroupVersion.WithKind("PodObituary"))
	if err := r.pages(ctx, page, findings()); err != nil {
		return "", fmt.Errorf("list the findings: %w", err)
	}
	return page.ResourceVersion, nil
}

// pages touches the namespaces of all objects listed.
func (r *Reports) pages(ctx context.Context, page *metav1.PartialObjectMetadataList,
	which client.MatchingFields) error {
	for {
		if err := r.API.List(ctx, page, which, client.Limit(pageSize),
			client.Continue(page.Continue)); err != nil {
			return err
		}
		for n := range page.Items {
			r.touch(page.Items[n].Namespace)
		}
		if page.Continue == "" {
			return nil
		}
	}
}

// watch touches the namespaces with changes. A finding that is explained appears in this watch as
// deleted.
func (r *Reports) watch(ctx context.Context, from string) error {
	w, err := r.API.Watch(ctx, metadataOf(epitaph.GroupVersion.WithKind("PodObituary")), findings(),
		&client.ListOptions{Raw: &metav1.ListOptions{
			ResourceVersion: from, TimeoutSeconds: ptr.To(int64(lookAround.Seconds())),
		}})
	if err != nil {
		return fmt.Errorf("watch the findings: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, open := <-w.ResultChan():
			if !open {
				return nil
			}
			if e.Type == watch.Error {
				return fmt.Errorf("watch the findings: %w", apierrors.FromObject(e.Object))
			}
			if o, ok := e.Object.(metav1.Object); ok {
				r.touch(o.GetNamespace())
			}
		}
	}
}

func metadataOf(kind schema.GroupVersionKind) *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	return list
}
