package recorder

import (
	"context"
	"fmt"
	"maps"
	"time"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/lru"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/reason"
)

// maxRequests bounds the pods of which we remember when they were told to stop, and by whom: those
// of a whole large cluster's drain, in some 15 MiB. Names are shared: few users delete many pods.
const maxRequests = 1 << 16

// A wish is what is known of the first request to delete a pod.
type wish struct {
	// at is when it came; zero if in doubt.
	at time.Time
	// by is who made it, if the pod's mark says so.
	by unique.Handle[string]
}

func wishOf(pod *corev1.Pod) wish {
	at := unmoved(pod)
	return wish{at, unique.Make(reason.DeletedBy(pod.Annotations, at))}
}

// requests remember when pods were told to stop, and by whom: others may write to the pod's mark
// later. The final DELETE, with which a kubelet removes a pod that has ended, moves the deletion
// timestamp to its own time if the grace period has run out (K8s v1.37 k8s.io/apiserver
// pkg/registry/rest/delete.go, BeforeDelete): only the first event of a terminating pod says when
// that began.
type requests struct{ first *lru.Cache }

func newRequests() requests { return requests{lru.New(maxRequests)} }

// note remembers the pod if this is its first event with a deletion timestamp. Without a grace
// period, that is certain only if the pod was seen alive just before: otherwise it may be the final
// DELETE of a pod that a finalizer holds.
func (q requests) note(pod *corev1.Pod, seenAlive bool) {
	if pod.DeletionTimestamp == nil || !seenAlive && reason.Graceless(pod) {
		return
	}
	first, known := q.of(pod.UID)
	switch {
	case !known, first.at.IsZero():
		q.first.Add(pod.UID, wishOf(pod))
	case first.by.Value() == "":
		// The mark of an eviction comes after the pod is first seen to terminate.
		if by := reason.DeletedBy(pod.Annotations, first.at); by != "" {
			q.first.Add(pod.UID, wish{first.at, unique.Make(by)})
		}
	}
}

// doubt remembers that a pod without a grace period that was not seen before may have been told to
// stop earlier.
func (q requests) doubt(pod *corev1.Pod) {
	if _, known := q.of(pod.UID); !known && pod.DeletionTimestamp != nil && reason.Graceless(pod) {
		q.first.Add(pod.UID, wish{by: nobody})
	}
}

// nobody means that the user is not known.
var nobody = unique.Make("")

// of returns the first request to delete the pod, if it is remembered.
func (q requests) of(pod types.UID) (first wish, ok bool) {
	w, ok := q.first.Get(pod)
	if !ok {
		return wish{by: nobody}, false
	}
	return w.(wish), true
}

// unmoved returns when the pod was told to stop, if nobody has shortened its grace period since.
func unmoved(pod *corev1.Pod) time.Time {
	return pod.DeletionTimestamp.Add(-time.Duration(
		ptr.Deref(pod.DeletionGracePeriodSeconds, 0)) * time.Second)
}

// A Standby remembers when pods are told to stop. It is a runnable of every replica: the next
// leader must know of the pods that were told before.
type Standby struct {
	requests requests
	guard    *guard.Guard
	pods     cache.Cache
	// synced is closed once all existing pods have been seen.
	synced chan struct{}
}

// Standby returns the runnable that belongs to the recorder, which waits for it. It watches the
// pods in the shared cache.
func (r *Recorder) Standby(pods cache.Cache) *Standby {
	r.standby = &Standby{requests: r.requests, guard: r.guard, pods: pods,
		synced: make(chan struct{})}
	return r.standby
}

// ready waits until all existing pods have been seen.
func (s *Standby) ready(ctx context.Context) error {
	if s == nil {
		return nil
	}
	select {
	case <-s.synced:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// NeedLeaderElection is false: every replica remembers.
func (*Standby) NeedLeaderElection() bool { return false }

// Start remembers until ctx is done.
func (s *Standby) Start(ctx context.Context) error {
	informer, err := s.pods.GetInformer(ctx, &corev1.Pod{})
	if err != nil {
		return fmt.Errorf("watch the pods: %w", err)
	}
	registration, err := informer.AddEventHandler(s.guard.Handler("event of a pod",
		toolscache.ResourceEventHandlerFuncs{
			AddFunc: func(object any) {
				if pod, ok := object.(*corev1.Pod); ok {
					s.requests.note(pod, false)
					s.requests.doubt(pod)
				}
			},
			UpdateFunc: func(before, after any) {
				was, ok := before.(*corev1.Pod)
				is, fine := after.(*corev1.Pod)
				if ok && fine {
					s.requests.note(is, was.UID == is.UID && was.DeletionTimestamp == nil)
				}
			},
		}))
	if err != nil {
		return fmt.Errorf("watch the pods: %w", err)
	}
	if toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		close(s.synced)
	}
	<-ctx.Done()
	_ = informer.RemoveEventHandler(registration) // fails only for what was not registered
	return nil
}

// told returns the pod with the time at which it was told to stop as its deletion timestamp, as if
// it had had no grace period; and by whom, if that is known. A mark counts only if it could be seen
// when the pod was told.
func (r *Recorder) told(ctx context.Context, d departure) (_ *corev1.Pod, by string) {
	if d.pod.DeletionTimestamp == nil {
		if !d.unseen {
			by = reason.DeletedBy(d.pod.Annotations, d.left)
		}
		return d.pod, by
	}
	first, known := r.requests.of(d.pod.UID)
	at, by := first.at, first.by.Value()
	switch {
	case known && !at.IsZero():
	case !reason.Graceless(d.pod):
		at = unmoved(d.pod)
	case known, r.beganBefore(d):
		at = r.toldBefore(ctx, d.pod)
	default: // it vanished at once
		at = d.pod.DeletionTimestamp.Time
		by = reason.DeletedBy(d.pod.Annotations, at)
	}
	pod := *d.pod
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &metav1.Time{Time: at}, ptr.To(int64(0))
	pod.Annotations = maps.Clone(pod.Annotations)
	delete(pod.Annotations, reason.WrittenKey) // what it says of the time is taken into account
	return &pod, by
}

// beganBefore reports whether the pod may have been told to stop before this replica watched: it
// was gone when this one began to lead, or nobody saw it go.
func (r *Recorder) beganBefore(d departure) bool {
	if d.unseen {
		return true
	}
	order, err := resourceversion.CompareResourceVersion(d.revision, r.leadsSince)
	return err != nil || order <= 0
}

// toldBefore finds out when a pod without a grace period was told to stop, if that was before this
// replica watched. History tells exactly, also whether the pod was not told before and vanished at
// once. Otherwise it was no later than our mark and the end of the first of its containers: if the
// order is not known, the pod must not count as having ended by itself.
func (r *Recorder) toldBefore(ctx context.Context, pod *corev1.Pod) time.Time {
	before, err := r.stateAt(ctx, pod, r.from)
	switch {
	case err != nil:
	case before == nil, before.DeletionTimestamp == nil:
		return pod.DeletionTimestamp.Time
	case !reason.Graceless(before):
		return unmoved(before)
	}
	earliest := pod.DeletionTimestamp.Time
	if asked := obituary.DeletionRequested(pod); asked != nil {
		earliest = asked.Time
	}
	for _, s := range pod.Status.ContainerStatuses {
		if t := s.State.Terminated; t != nil && !t.FinishedAt.IsZero() &&
			t.FinishedAt.Time.Before(earliest) {
			earliest = t.FinishedAt.Time
		}
	}
	return earliest
}
