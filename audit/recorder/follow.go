package recorder

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/pause"
)

// watchSeconds is how long one watch lasts, so that several API servers share the load (as
// client-go's reflector does).
const watchSeconds = 450

// A departure is a pod that is gone.
type departure struct {
	// pod is its last state, trimmed.
	pod  *corev1.Pod
	left time.Time
	// ticket is its place in the progress.
	ticket *ticket
	// revision is that of the event.
	revision string
	// missed is set where nobody saw it go and its last state is yet to be found: then pod is an
	// earlier state. unseen stays set.
	missed *span
	unseen bool
	// by is who asked for its deletion, once that was found out; supposed is set where its mark
	// said that its preemptor is.
	by       string
	supposed bool
}

// follow reads the watch, from the given revision until ctx is done.
func (r *Recorder) follow(ctx context.Context, from string) {
	pauses := backoff()
	for ctx.Err() == nil {
		reached, err := r.watch(ctx, from)
		switch {
		case expired(err):
			reached, err = r.bridge(ctx, from)
		case reached != from:
			pauses = backoff()
		}
		from = reached
		if err != nil && ctx.Err() == nil {
			r.Log.Error(err, "watch broke off, will be resumed", "revision", from)
			pause.For(ctx, r.Clock, pauses.Step())
		}
	}
}

// expired tells whether the API server does not remember the revision any more.
func expired(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }

// watch hands on what left, until the watch ends, and returns the revision that it reached.
func (r *Recorder) watch(ctx context.Context, from string) (reached string, err error) {
	w, err := r.API.Watch(ctx, &corev1.PodList{}, &client.ListOptions{Raw: &metav1.ListOptions{
		ResourceVersion: from, AllowWatchBookmarks: true,
		TimeoutSeconds: ptr.To(int64(watchSeconds)),
	}})
	if err != nil {
		return from, fmt.Errorf("watch the pods: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return from, nil
		case e, open := <-w.ResultChan():
			if !open {
				return from, nil
			}
			if e.Type == watch.Error {
				return from, fmt.Errorf("watch the pods: %w", apierrors.FromObject(e.Object))
			}
			from = r.take(ctx, e, from)
		}
	}
}

// take handles one event and returns its revision.
func (r *Recorder) take(ctx context.Context, e watch.Event, before string) string {
	pod, ok := e.Object.(*corev1.Pod)
	if !ok {
		return before
	}
	r.requests.note(pod, false)
	if e.Type != watch.Deleted {
		r.progress.pass(pod.ResourceVersion)
		return pod.ResourceVersion
	}
	r.enqueue(ctx, departure{
		pod: trim(pod, r.reads), left: r.Clock.Now(), ticket: r.progress.begin(pod.ResourceVersion),
		revision: pod.ResourceVersion,
	})
	return pod.ResourceVersion
}

// enqueue waits for room: meanwhile the watch is not read.
func (r *Recorder) enqueue(ctx context.Context, d departure) {
	select {
	case <-ctx.Done():
	case r.gone <- d:
	}
}
