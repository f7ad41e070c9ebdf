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
	// missed is set if nobody saw it go and its last state has yet to be found: then pod is an
	// earlier state. unseen stays set.
	missed *span
	unseen bool
	// by is who asked for its deletion, once that is known; supposed is set if its mark said that
	// its preemptor is supposed.
	by       string
	supposed bool
}

// follow reads the watch, from the given revision until ctx is done.
func (r *Recorder) follow(ctx context.Context, from string) {
	pauses := backoff()
	for ctx.Err() == nil {
		reached := from
		err := r.guard.Do("watch of pods", func() (err error) {
			reached, err = r.watch(ctx, from)
			return err
		})
		switch {
		case expired(err):
			err = r.guard.Do("gap in the watch", func() (err error) {
				reached, err = r.bridge(ctx, from)
				return err
			})
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

// expired reports whether the API server no longer remembers the revision.
func expired(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }

// watch handles events until the watch ends, and returns the revision that it reached.
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
	r.guard.Run("event of a pod", func() { r.requests.note(pod, false) })
	if e.Type == watch.Deleted {
		if d, ok := r.departed(pod); ok {
			d.ticket, d.revision = r.progress.begin(pod.ResourceVersion), pod.ResourceVersion
			r.enqueue(ctx, d)
			return pod.ResourceVersion
		}
	}
	r.progress.pass(pod.ResourceVersion)
	return pod.ResourceVersion
}

// departed returns what is kept of a pod that is gone. A pod over which that panics is given up,
// since it would panic again, and the watch goes on.
func (r *Recorder) departed(pod *corev1.Pod) (d departure, ok bool) {
	err := r.guard.Do("last state of a pod", func() error {
		d = departure{pod: trim(pod, r.reads, r.labels), left: r.Clock.Now()}
		return nil
	})
	if err != nil {
		r.giveUp(pod)
	}
	return d, err == nil
}

// enqueue waits for room; the watch is not read meanwhile.
func (r *Recorder) enqueue(ctx context.Context, d departure) {
	select {
	case <-ctx.Done():
	case r.gone <- d:
	}
}
