package webhook

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/segmentio/encoding/json"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

const (
	// maxPromises bounds the promises that are kept: enough for draining a large cluster. With 1
	// KiB of text each they take at most 32 MiB; the oldest are dropped first.
	maxPromises = 20_000
	// promiseLife is how long after its admission a deletion may still be carried out: the API
	// server gives a request a minute.
	promiseLife = 90 * time.Second
	// maxOwed is how many reasons of DELETEs are outstanding at most: as many as the workers write
	// within [termination.WriteBehind] even if each write takes 90 ms. Beyond it, reasons are
	// written before the answer, which also slows down whoever deletes faster than can be written.
	maxOwed = 256
)

// A promise is what to write onto a pod once it is seen to terminate: a reason, or only who deleted
// it.
type promise struct {
	at     time.Time
	pod    types.NamespacedName
	reason reason.Reason
	user   string
	rule   string
	// completes and marks are those of the outcome.
	completes, marks bool
	// late is what the reason lacks.
	late *openQuestions
	// seen are the annotations that the pod was decided about with, as far as a write is bound to
	// them.
	seen map[string]string
}

// promises are what was decided about deletions that were answered before their reason was written,
// until the pod is seen to terminate or it turns out that the API server refused. A later request
// for the same pod replaces the promise. They are only in the memory of the replica that was asked:
// nothing is written for a deletion that may be refused.
type promises struct {
	cache *utilcache.LRUExpireCache
	clock clock.PassiveClock

	mu sync.Mutex
	// owed says when DELETEs were answered whose pods have not got their reason yet.
	owed map[types.UID]time.Time
}

func newPromises(c clock.PassiveClock) *promises {
	return &promises{cache: utilcache.NewLRUExpireCacheWithClock(maxPromises, c), clock: c,
		owed: map[types.UID]time.Time{}}
}

// add keeps a promise to a pod.
func (p *promises) add(pod types.UID, what promise) { p.cache.Add(pod, what, promiseLife) }

// settle completes a promise that is still held.
func (p *promises) settle(pod types.UID, what promise) {
	if held, ok := p.of(pod); ok && held.at.Equal(what.at) {
		p.add(pod, what)
	}
}

// owe reports whether one more DELETE may be answered before its reason is written, and counts it:
// not while so many are owed that the last one might be written too late. A DELETE that the API
// server refused counts until it has had its time.
func (p *promises) owe(pod types.UID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	if len(p.owed) >= maxOwed {
		maps.DeleteFunc(p.owed, func(_ types.UID, at time.Time) bool {
			return now.Sub(at) > termination.WriteBehind
		})
	}
	if _, again := p.owed[pod]; !again && len(p.owed) >= maxOwed {
		return false
	}
	p.owed[pod] = now
	return true
}

// outstanding is how many reasons of DELETEs are owed.
func (p *promises) outstanding() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.owed)
}

func (p *promises) of(pod types.UID) (promise, bool) {
	what, ok := p.cache.Get(pod)
	if !ok {
		return promise{}, false
	}
	return what.(promise), true
}

func (p *promises) forget(pod types.UID) {
	p.cache.Remove(pod)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.owed, pod)
}

// pods returns the pods with a promise.
func (p *promises) pods() (all []types.UID) {
	for _, key := range p.cache.Keys() {
		all = append(all, key.(types.UID))
	}
	return all
}

// promise keeps the reason that the pod is to leave with.
func (h *Handler) promise(d request, o outcome) {
	pod := d.object.(*corev1.Pod)
	h.refusals.Promised(pod, o.reason, d.eviction != nil)
	h.promises.add(pod.UID, promise{at: h.clock.Now(), pod: client.ObjectKeyFromObject(pod),
		reason: o.reason, user: d.user, rule: o.rule, completes: o.completes, marks: o.marks,
		late: o.late,
		seen: boundTo(pod.Annotations, h.inferrer.Keys.Pod.Reason)})
}

// another stands for the annotations that a write is not bound to: its patch depends on whether
// there are any.
const another = "another"

// boundTo returns those of the annotations that a write of the reason under the key is bound to.
func boundTo(annotations map[string]string, key string) map[string]string {
	value, ok := annotations[key]
	switch {
	case ok:
		return map[string]string{key: value}
	case len(annotations) > 0:
		return map[string]string{another: ""}
	default:
		return nil
	}
}

// target is the pod that the promised write is bound to: as it was when the decision was made, in
// the state in which it terminates.
func (p promise) target(pod *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Finalizers: pod.Finalizers,
		DeletionTimestamp:          pod.DeletionTimestamp,
		DeletionGracePeriodSeconds: pod.DeletionGracePeriodSeconds,
		Annotations:                p.seen,
	}}
}

// lingers reports whether the pod of a DELETE goes on terminating, so that its reason can be
// written then: nothing is written within the API server's transaction, nothing is left on a pod
// whose DELETE is refused, and a client that names a resource version gets no conflict with our
// write. If the pod carries a reason, or somebody else's mark, that is completed before the answer:
// what a pod begins to terminate with counts.
func (h *Handler) lingers(d request, o outcome) bool {
	pod, ok := d.object.(*corev1.Pod)
	return ok && d.operation == config.Delete && !h.writesFirst.Load() && pod.UID != "" &&
		pod.DeletionTimestamp == nil && o.action != actionKept && !o.completes &&
		d.markedFor() == "" && !vanishes(pod, d.grace)
}

// later has the reason written once the pod is seen to terminate.
func (h *Handler) later(d request, o outcome) outcome {
	h.promise(d, o)
	if o.action == actionFilled {
		o.action = actionPromised
	}
	return o
}

// graceOf returns the grace period that a DELETE asks for. For a single pod the API server fills in
// what it will be; with a deletecollection it passes on what the client sent.
func graceOf(options []byte) (*int64, error) {
	if len(options) == 0 {
		return nil, nil
	}
	var asked struct {
		GracePeriodSeconds *int64 `json:"gracePeriodSeconds"`
	}
	if err := json.Unmarshal(options, &asked); err != nil {
		return nil, fmt.Errorf("read the options of the review: %w", err)
	}
	return asked.GracePeriodSeconds, nil
}

// refreshed returns the request about the pod as it is now, if a reason is promised for somebody
// else's deletion of it. The API server asks about the copy in its watch cache first, which may
// precede that deletion (k8s.io/apiserver v0.37 pkg/storage/etcd3/store.go, GuaranteedUpdate): it
// cannot carry a deletion out on such a copy, and the pod goes because of the earlier one.
func (h *Handler) refreshed(ctx context.Context, d request) request {
	if d.subject != reason.Pod || d.eviction != nil || d.object.GetDeletionTimestamp() != nil {
		return d
	}
	p, ok := h.promises.of(d.object.GetUID())
	if !ok || p.user == d.user {
		return d
	}
	pod := &corev1.Pod{}
	err := h.live.Get(ctx, client.ObjectKeyFromObject(d.object), pod)
	if err != nil || pod.UID != d.object.GetUID() || pod.DeletionTimestamp == nil {
		return d // it lives, or the write will tell
	}
	d.object = pod
	d.raw = func() ([]byte, error) { return json.Marshal(pod) }
	return d
}

// keepPromise writes what was promised to a terminating pod before it goes: this is its final
// DELETE, or one that shortens its grace, or an eviction that does either. Whatever the rules say
// about the user of that request, the pod goes because of the earlier one.
func (h *Handler) keepPromise(ctx context.Context, d request) (outcome, bool) {
	if d.subject != reason.Pod || d.object.GetDeletionTimestamp() == nil || d.dryRun {
		return outcome{}, false
	}
	p, ok := h.promises.of(d.object.GetUID())
	if !ok || p.marks {
		return outcome{}, false
	}
	d = d.by(p.user)
	o := outcome{action: actionFilled, rule: p.rule, reason: p.reason}
	switch {
	case !h.unsaid(d):
		if o = h.keep(d, config.Rule{Name: p.rule}); !o.completes {
			return outcome{}, false
		}
	case d.eviction != nil && !vanishes(d.object.(*corev1.Pod), d.grace):
		o.action = actionPromised
		return o, true
	default:
		h.askLate(ctx, d.object.GetUID(), &p)
		o.reason = p.reason
	}
	ctx, cancel := context.WithTimeout(ctx, h.writeTimeout)
	defer cancel()
	version, o := h.write(ctx, d, o)
	if o.action == actionFilled {
		h.kept(d.object.GetUID(), p)
	}
	return d.followedBy(o, version), true
}

// by is the request as if that user had made it: words that the pod carries need no more than the
// name.
func (d request) by(user string) request {
	d.user, d.remover = user, reason.Remover{User: user}
	return d
}

// supersede forgets what was promised to a pod that lives on, since its deletion has not come
// about: this is another one.
func (h *Handler) supersede(d request) {
	if d.subject == reason.Pod && !d.dryRun && d.object.GetDeletionTimestamp() == nil {
		h.promises.forget(d.object.GetUID())
	}
}

// unsaid reports whether the object is a pod that terminates, and nobody has said why.
func (h *Handler) unsaid(d request) bool {
	return d.subject == reason.Pod && d.object.GetDeletionTimestamp() != nil &&
		!h.inferrer.Keys.Pod.Told(d.object.GetAnnotations())
}

// kept forgets a promise whose reason is written.
func (h *Handler) kept(pod types.UID, p promise) {
	h.promises.forget(pod)
	h.refusals.Kept(pod)
	h.metrics.writtenAfter.Observe(h.clock.Since(p.at).Seconds())
}

const (
	// othersWrite is how long after a deletion began another replica may still be about to write
	// what it has promised. The beginning is known in whole seconds.
	othersWrite = termination.WriteBehind + time.Second
	// othersWait is how long the final DELETE of such a pod is held up for that.
	othersWait = time.Second
	othersPoll = 10 * time.Millisecond
)

// othersPromise reports whether a terminating pod has, or is about to get, the reason that another
// replica has promised: that replica knows who asked for the deletion, and we do not. If the pod is
// ended now, it waits for that reason.
func (h *Handler) othersPromise(ctx context.Context, d request) bool {
	if !h.unsaid(d) || d.dryRun || h.supposes || h.writesFirst.Load() {
		return false
	}
	pod := d.object.(*corev1.Pod)
	began := pod.DeletionTimestamp.Add(-time.Duration(
		ptr.Deref(pod.DeletionGracePeriodSeconds, 0)) * time.Second)
	if reason.Vanishing(pod) || h.clock.Since(began).Abs() > othersWrite {
		return false
	}
	if !vanishes(pod, d.grace) {
		return true
	}
	found := false
	_ = wait.PollUntilContextTimeout(ctx, othersPoll, othersWait, true,
		func(ctx context.Context) (bool, error) {
			cached := &corev1.Pod{}
			if err := h.reader.Get(ctx, types.NamespacedName{Namespace: pod.Namespace,
				Name: pod.Name}, cached); err != nil || cached.UID != pod.UID {
				return true, nil
			}
			_, held := reason.HeldOn(cached)
			found = held || h.inferrer.Keys.Pod.Told(cached.Annotations)
			return found, nil
		})
	return found
}
