package announce

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxSeries bounds the series that are open, maxOfPods those about a single pod.
	maxSeries, maxOfPods = 4096, 64
	// maxUnanswered bounds how often in a row More may fail for an Event to be written again.
	maxUnanswered = 5
	// burst is how many Events may be written at once.
	burst = 50
	// component and action are fields of each Event.
	component, action = "epitaph-audit", "RecordObituary"
)

// MetricEvents is the name of the metric.
const MetricEvents = "epitaph_audit_events_total"

// Outcomes of an Event.
const (
	created = "created"
	updated = "updated"
	refused = "refused"
	failed  = "failed"
	dropped = "dropped"
)

// Options are what an announcer works with.
type Options struct {
	Writer client.Writer
	// PerSecond bounds the writes, on average.
	PerSecond float32
	// More returns what else to say about an object, given how many of its pods were disrupted and
	// count as failures of its Job; nil adds nothing. After an error the Event is written without
	// it, and brought up to date once it can be known.
	More func(ctx context.Context, about corev1.ObjectReference, disrupted int) (string, error)

	Clock      clock.Clock
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// An Announcer is a runnable of the manager.
type Announcer struct {
	Options
	events *prometheus.CounterVec
	guard  *guard.Guard
	pace   flowcontrol.RateLimiter

	mu     sync.Mutex
	series map[key]*series
	ofPods int
	// pods counts the pods in the series about an object, over all causes.
	pods map[corev1.ObjectReference]int
	// fullUntil is when to look for room again: no series could be dropped, because each had
	// something left to tell.
	fullUntil time.Time
	// news wakes the writer: there is a new series.
	news chan struct{}
}

// New returns an announcer. Add it to the manager.
func New(o Options) (*Announcer, error) {
	a := &Announcer{
		Options: o, series: map[key]*series{},
		pods: map[corev1.ObjectReference]int{}, news: make(chan struct{}, 1),
		pace: flowcontrol.NewTokenBucketRateLimiterWithClock(o.PerSecond, burst, o.Clock),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: MetricEvents,
			Help: "Events about pods that left, by outcome."}, []string{"outcome"}),
	}
	if err := o.Registerer.Register(a.events); err != nil {
		return nil, fmt.Errorf("register the metric of Events: %w", err)
	}
	var err error
	a.guard, err = guard.New(o.Registerer, "events", o.Log)
	return a, err
}

// NeedLeaderElection is true: the replica that records also announces.
func (*Announcer) NeedLeaderElection() bool { return true }

// Tell queues the end of a pod to be announced. It does not block.
func (a *Announcer) Tell(e End) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.Clock.Now()
	for _, about := range e.Owners {
		a.add(key{about, e.Reason, e.Code}, e, now)
	}
	if e.Node != nil {
		a.add(key{*e.Node, e.Reason, e.Code}, e, now)
	}
	a.addOwn(e, now)
}

// addOwn has the pod get an Event of its own, unless many leave. The lock is held.
func (a *Announcer) addOwn(e End, now time.Time) {
	var owner corev1.ObjectReference
	if len(e.Owners) > 0 {
		owner = e.Owners[0]
	}
	if a.ofPods >= maxOfPods || a.pods[owner] > maxLatest {
		a.events.WithLabelValues(dropped).Inc()
		return
	}
	if s := a.add(key{e.Pod, e.Reason, e.Code}, e, now); s != nil {
		s.owner = owner
	}
}

// needless tells whether the series is about a pod whose owner's Events count so many pods that
// they say enough. The lock is held.
func (a *Announcer) needless(s *series) bool { return a.pods[s.owner] > maxLatest }

// add counts the pod in its series, and returns that; nil where there is no room for it. The lock
// is held.
func (a *Announcer) add(k key, e End, now time.Time) *series {
	s := a.series[k]
	if s != nil && s.over(now) {
		a.forget(s)
		s = nil
	}
	if s == nil {
		if len(a.series) >= maxSeries && !a.forgetOne(now) {
			a.events.WithLabelValues(dropped).Inc()
			return nil
		}
		s = newSeries(k, e, now)
		a.series[k] = s
		if s.ofPod() {
			a.ofPods++
		}
	}
	s.add(e, now)
	a.pods[k.about]++
	select {
	case a.news <- struct{}{}:
	default:
	}
	return s
}

// forget drops a series. The lock is held.
func (a *Announcer) forget(s *series) {
	if a.series[s.key] != s {
		return
	}
	delete(a.series, s.key)
	if a.pods[s.about] -= s.pods; a.pods[s.about] <= 0 {
		delete(a.pods, s.about)
	}
	if s.ofPod() {
		a.ofPods--
	}
}

// forgetOne makes room by dropping the series that was completely told the longest time ago.
func (a *Announcer) forgetOne(now time.Time) bool {
	if now.Before(a.fullUntil) {
		return false
	}
	var oldest *series
	for _, s := range a.series {
		if !s.waits() && (oldest == nil || s.last.Before(oldest.last)) {
			oldest = s
		}
	}
	if oldest == nil {
		a.fullUntil = now.Add(time.Second)
		return false
	}
	a.forget(oldest)
	return true
}

// Start writes Events until ctx is done.
func (a *Announcer) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		next := a.next()
		if next == nil {
			a.rest(ctx)
			continue
		}
		if a.pace.Wait(ctx) != nil {
			return nil
		}
		// Another series may have become more urgent in the meantime.
		if next = a.next(); next != nil {
			a.guard.Run("an Event", func() { a.write(ctx, next) })
		}
	}
	return nil
}

// rest waits for a new series, or until the next one is due.
func (a *Announcer) rest(ctx context.Context) {
	timer := a.Clock.NewTimer(a.untilDue())
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-a.news:
	case <-timer.C():
	}
}

func (a *Announcer) untilDue() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, until := a.Clock.Now(), idle
	for _, s := range a.series {
		if s.waits() {
			until = min(until, max(s.due().Sub(now), time.Millisecond))
		}
	}
	return until
}

// next returns the series to write now: the one that has been due the longest, and a pod's own
// Event last. It returns nil if none is due.
func (a *Announcer) next() *series {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.Clock.Now()
	var best *series
	for _, s := range a.series {
		switch {
		case s.over(now) && s.pods > 0:
			a.forget(s)
		case !s.waits() || s.due().After(now):
		case a.needless(s):
			a.events.WithLabelValues(dropped).Inc()
			a.forget(s)
		case best == nil, s.before(best):
			best = s
		}
	}
	return best
}

func (s *series) before(o *series) bool {
	if s.ofPod() != o.ofPod() {
		return o.ofPod()
	}
	return s.due().Before(o.due())
}

// disrupted counts the disrupted pods of an object that its Job counts as failures.
// The lock is held.
func (a *Announcer) disrupted(about corev1.ObjectReference) (n int) {
	for _, s := range a.series {
		if s.about == about && s.class == reason.Disruption.String() {
			n += s.counted
		}
	}
	return n
}

// write creates the Event of a series, or brings it up to date.
func (a *Announcer) write(ctx context.Context, s *series) {
	a.mu.Lock()
	about, disrupted := s.about, a.disrupted(s.about)
	a.mu.Unlock()
	more, whole := a.more(ctx, s, about, disrupted)
	a.mu.Lock()
	event, known, pods := s.event(more), s.name != "", s.pods
	if !whole {
		pods = s.written // More is left to tell.
	}
	a.mu.Unlock()

	outcome, err := updated, error(nil)
	if known {
		err = a.update(ctx, event)
	}
	if !known || apierrors.IsNotFound(err) { // The API server has forgotten it.
		event.Name = "epitaph-" + string(uuid.NewUUID())
		outcome, err = created, a.Writer.Create(ctx, event)
	}
	a.wrote(s, event.Name, pods, outcome, err)
}

// more returns what else to say about the object of a series, and whether the Event is complete
// with it: what the API server does not answer is asked again with a later write, a few times.
func (a *Announcer) more(ctx context.Context, s *series, about corev1.ObjectReference,
	disrupted int) (string, bool) {
	if a.More == nil || disrupted == 0 {
		return "", true
	}
	more, err := a.More(ctx, about, disrupted)
	if err == nil {
		s.unanswered = 0
		return more, true
	}
	a.Log.V(1).Info("cannot tell more in an Event", "about", about.Kind, "error",
		reason.Clean(err.Error()))
	s.unanswered++
	return "", s.unanswered > maxUnanswered
}

// wrote records the outcome of a write. A refused Event is not retried: a quota is full, or its
// namespace is terminating. A failed one is written with the series' next update.
func (a *Announcer) wrote(s *series, name string, pods int, outcome string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.Clock.Now()
	switch {
	case err == nil:
		s.name = name
		s.wrote(pods, now)
	case audit.Refused(err), audit.NamespaceGone(err):
		outcome = refused
		a.Log.V(1).Info("Event refused", "about", s.about.Kind, "error",
			reason.Clean(err.Error()))
		a.forget(s)
	default:
		outcome = failed
		s.wrote(s.written, now)
	}
	if s.ofPod() && err == nil {
		a.forget(s)
	}
	a.events.WithLabelValues(outcome).Inc()
}

// event returns the series as an Event.
func (s *series) event(more string) *corev1.Event {
	namespace := s.about.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: s.name},
		InvolvedObject: s.about, Type: s.kind, Reason: s.reason, Action: action,
		Message:        s.note(more),
		Count:          int32(s.pods), //nolint:gosec // no etcd holds so many
		FirstTimestamp: metav1.NewTime(s.first), LastTimestamp: metav1.NewTime(s.last),
		Source: corev1.EventSource{Component: component}, ReportingController: component,
	}
}

// update patches an existing Event with what has changed.
func (a *Announcer) update(ctx context.Context, e *corev1.Event) error {
	patch, err := json.Marshal(map[string]any{"message": e.Message, "count": e.Count,
		"lastTimestamp": e.LastTimestamp})
	if err != nil {
		return fmt.Errorf("encode an Event: %w", err)
	}
	return a.Writer.Patch(ctx, e, client.RawPatch(types.MergePatchType, patch))
}
