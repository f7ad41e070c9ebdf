package recorder

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pageSize bounds the pods that a list returns at once.
const pageSize = 500

// bridge finds the pods that left since a revision that is too old to watch from, and returns the
// revision to watch from. A pod created and deleted in between is in neither list, and stays
// unknown.
func (r *Recorder) bridge(ctx context.Context, from string) (reached string, err error) {
	here, now, err := r.alive(ctx)
	if err != nil {
		return from, err
	}
	missed := 0
	err = r.pagesAt(ctx, from, func(pod *corev1.Pod) {
		if here.Has(pod.UID) {
			return
		}
		missed++
		d, ok := r.departed(pod)
		if !ok {
			return
		}
		d.ticket, d.missed, d.unseen = r.progress.begin(from), &span{from, now}, true
		r.enqueue(ctx, d)
	})
	switch {
	case expired(err):
		r.lost("the API server no longer has the revision at which the record ended", "revision", from,
			"found", missed)
	case err != nil:
		return from, err
	default:
		r.metrics.gaps.WithLabelValues(gapBridged).Inc()
		r.Log.Info("the watch had a gap, and what left in it was looked up", "from", from, "to", now,
			"pods", missed)
	}
	r.progress.pass(now)
	return now, nil
}

// alive returns the UIDs of all pods, and the revision of the list.
func (r *Recorder) alive(
	ctx context.Context) (uids sets.Set[types.UID], revision string, err error) {
	uids = sets.New[types.UID]()
	page := podMetadata()
	for {
		if err := r.API.List(ctx, page, client.Limit(pageSize),
			client.Continue(page.Continue)); err != nil {
			return nil, "", fmt.Errorf("list the pods that live: %w", err)
		}
		for n := range page.Items {
			uids.Insert(page.Items[n].UID)
		}
		if page.Continue == "" {
			return uids, page.ResourceVersion, nil
		}
	}
}

// pagesAt calls show for every pod as it was at a revision.
func (r *Recorder) pagesAt(ctx context.Context, revision string, show func(*corev1.Pod)) error {
	options := &client.ListOptions{Limit: pageSize, Raw: exactly(revision)}
	for {
		page := &corev1.PodList{}
		if err := r.API.List(ctx, page, options); err != nil {
			return fmt.Errorf("list the pods of revision %s: %w", revision, err)
		}
		for n := range page.Items {
			show(&page.Items[n])
		}
		if page.Continue == "" || ctx.Err() != nil {
			return ctx.Err()
		}
		// The token contains the revision.
		options = &client.ListOptions{Limit: pageSize, Continue: page.Continue}
	}
}

func exactly(revision string) *metav1.ListOptions {
	return &metav1.ListOptions{ResourceVersion: revision,
		ResourceVersionMatch: metav1.ResourceVersionMatchExact}
}

func podMetadata() *metav1.PartialObjectMetadataList {
	pods := &metav1.PartialObjectMetadataList{}
	pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	return pods
}
