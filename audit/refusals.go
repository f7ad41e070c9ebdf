package audit

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// MetricRefused is the name of the metric.
	MetricRefused = "epitaph_audit_reasons_refused_total"
	// EventReasonRefused is the reason of the Event.
	EventReasonRefused = "ReasonRefused"

	// maxRefusals is how many are remembered; with 1 KiB of text each they take some 16 MiB at
	// most, and the oldest are forgotten first.
	maxRefusals = 8192
	// refusalLife is how long a refusal is remembered if its pod is not seen to go.
	refusalLife = time.Hour
	// refusalLag is how long before the deletion begins a reason for it can have been refused: the
	// API server gives a request a minute, and times in objects have whole seconds.
	refusalLag = 90 * time.Second
	// maxPromised is how many promises are remembered: those of a whole large cluster's drain. With
	// 1 KiB of text each they take 32 MiB at most, and the oldest are forgotten first.
	maxPromised = 20_000
)

// Refusals know the reasons that the API server refused on their objects (termination.Refusal).
// They report each in an Event, and keep the reasons of pods for the record. They also know what
// was decided about deletions and evictions, for pods that vanish before that was written. All that
// is only in the memory of the replica that was refused, or asked: nothing can be written for it.
type Refusals struct {
	refused *prometheus.CounterVec
	events  EventRecorder
	clock   clock.PassiveClock
	known   *utilcache.LRUExpireCache
	// promised are reasons that were decided and are to be written later.
	promised *utilcache.LRUExpireCache
}

// A refusal is a reason, and when it was last refused.
type refusal struct {
	reason reason.Reason
	at     time.Time
	// evicts is set if it was promised to an eviction.
	evicts bool
}

// NewRefusals registers the metric.
func NewRefusals(r prometheus.Registerer, events EventRecorder,
	clk clock.PassiveClock) (*Refusals, error) {
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: MetricRefused,
		Help: "Reasons that the API server would not have in annotations, by whether a condition of the pod holds them instead.",
	}, []string{"held"})
	if err := r.Register(refused); err != nil {
		return nil, fmt.Errorf("register the metric of refused reasons: %w", err)
	}
	for _, held := range []bool{false, true} {
		// an alert on an increase needs the zero before it
		refused.WithLabelValues(strconv.FormatBool(held))
	}
	return &Refusals{
		refused: refused, events: events, clock: clk,
		known:    utilcache.NewLRUExpireCacheWithClock(maxRefusals, clk),
		promised: utilcache.NewLRUExpireCacheWithClock(maxPromised, clk),
	}, nil
}

// Note reports a refused reason; held means that a condition of the pod has it. Each reason of an
// object is reported once. An unexplained one never replaces a known reason.
func (f *Refusals) Note(obj client.Object, r reason.Reason, held bool, err error) {
	before, repeated := f.of(obj)
	if repeated && (before.reason == r || r.Code == reason.Unexplained) {
		if obj.GetDeletionTimestamp() != nil {
			f.known.Add(obj.GetUID(), refusal{before.reason, f.clock.Now(), false}, refusalLife)
		}
		return
	}
	f.known.Add(obj.GetUID(), refusal{r, f.clock.Now(), false}, refusalLife)
	f.refused.WithLabelValues(strconv.FormatBool(held)).Inc()
	about := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: obj.GetNamespace(),
		Name: obj.GetName(), UID: obj.GetUID()}
	if _, node := obj.(*corev1.Node); node {
		about.Kind = "Node"
	}
	note := reason.CleanTo(fmt.Sprintf("%s (%s). It cannot be written on the %s: %s",
		r.Text, r.Code, map[string]string{"Pod": "pod", "Node": "node"}[about.Kind],
		err), MaxNoteBytes)
	f.events.Eventf(about, nil, corev1.EventTypeWarning, EventReasonRefused,
		"WriteReason", "%s", note)
}

// Promised remembers the reason of a pod whose deletion or eviction is admitted, in case nobody
// gets to write it. It replaces the reason of an earlier deletion or eviction.
func (f *Refusals) Promised(pod *corev1.Pod, r reason.Reason, evicts bool) {
	if f != nil {
		f.promised.Add(pod.UID, refusal{r, f.clock.Now(), evicts}, refusalLife)
	}
}

// Kept forgets what was promised to a pod, since it is written.
func (f *Refusals) Kept(pod types.UID) {
	if f != nil {
		f.promised.Remove(pod)
	}
}

func (f *Refusals) of(obj client.Object) (refusal, bool) {
	return recall(f.known, obj)
}

func recall(from *utilcache.LRUExpireCache, obj client.Object) (refusal, bool) {
	known, ok := from.Get(obj.GetUID())
	if !ok {
		return refusal{}, false
	}
	return known.(refusal), true
}

// Of returns the reason that was refused for the deletion that ended the pod, or else the one that
// was decided for the deletion or eviction that did. A much older one belongs to a deletion that
// did not come about.
func (f *Refusals) Of(pod *corev1.Pod, left time.Time) (reason.Reason, bool) {
	if f == nil {
		return reason.Reason{}, false
	}
	began := left
	if pod.DeletionTimestamp != nil {
		began = pod.DeletionTimestamp.Time
		if grace := pod.DeletionGracePeriodSeconds; grace != nil {
			began = began.Add(-time.Duration(*grace) * time.Second)
		}
	}
	if known, ok := f.of(pod); ok && began.Sub(known.at) <= refusalLag {
		return known.reason, true
	}
	if known, ok := recall(f.promised, pod); ok && began.Sub(known.at) <= refusalLag &&
		known.evicts == evicted(pod) {
		return known.reason, true
	}
	return reason.Reason{}, false
}

// evicted reports whether an eviction of the pod went through: the API server says so on the pod
// before it deletes it (k8s.io/kubernetes@v1.37.2/pkg/registry/core/pod/storage/eviction.go,
// addConditionAndDeletePod).
func evicted(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget {
			return c.Status == corev1.ConditionTrue && c.Reason == "EvictionByEvictionAPI"
		}
	}
	return false
}
