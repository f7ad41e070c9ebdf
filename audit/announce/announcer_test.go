package announce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// A wire holds the Events that were written, by name, and how often.
type wire struct {
	client.Writer
	mu     sync.Mutex
	events map[string]*corev1.Event
	writes int
	answer error
}

func (w *wire) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	if w.answer != nil {
		return w.answer
	}
	e := o.(*corev1.Event)
	w.events[e.Name] = e.DeepCopy()
	return nil
}

func (w *wire) Patch(_ context.Context, o client.Object, p client.Patch,
	_ ...client.PatchOption) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	if w.answer != nil {
		return w.answer
	}
	e := w.events[o.GetName()]
	if e == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "events"}, o.GetName())
	}
	data, err := p.Data(o)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, e)
}

// notes returns the notes of the Events, sorted by the name of the object.
func (w *wire) notes() map[string][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string][]string{}
	for _, e := range w.events {
		all[e.InvolvedObject.Kind] = append(all[e.InvolvedObject.Kind],
			fmt.Sprintf("%s x%d %s", e.Reason, e.Count, e.Message))
	}
	return all
}

type stage struct {
	*Announcer
	clock *clocktesting.FakeClock
	wire  *wire
}

func newStage(t *testing.T, change ...func(*Options)) stage {
	t.Helper()
	s := stage{clock: clocktesting.NewFakeClock(noon),
		wire: &wire{events: map[string]*corev1.Event{}}}
	o := Options{Writer: s.wire, PerSecond: 1e6, Clock: s.clock,
		Registerer: prometheus.NewRegistry(), Log: logr.Discard()}
	for _, set := range change {
		set(&o)
	}
	var err error
	if s.Announcer, err = New(o); err != nil {
		t.Fatal(err)
	}
	return s
}

// after advances the clock and writes everything that is due by then.
func (s stage) after(t *testing.T, d time.Duration) {
	t.Helper()
	s.clock.Step(d)
	for n := s.next(); n != nil; n = s.next() {
		s.write(t.Context(), n)
	}
}

func podRef(name string) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "batch", Name: name,
		UID: types.UID("u-" + name)}
}

var (
	job = corev1.ObjectReference{APIVersion: "batch/v1", Kind: "Job", Namespace: "batch",
		Name: "etl", UID: "j"}
	node = &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "n"}
)

func drained(pod string) End {
	return End{Pod: podRef(pod), Owners: []corev1.ObjectReference{job}, Node: node,
		Type: corev1.EventTypeWarning, Reason: "PodDisrupted", Code: "NodeDrained",
		Class: "disruption", Text: "its node was drained by alice", Failed: true}
}

func TestOnePodIsTold(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Tell(drained("a"))
	s.after(t, settle)
	want := map[string][]string{
		"Pod":  {"PodDisrupted x1 Pod a left: its node was drained by alice"},
		"Job":  {"PodDisrupted x1 Pod a left: its node was drained by alice"},
		"Node": {"PodDisrupted x1 A pod of this node left: NodeDrained (disruption)"},
	}
	if diff := cmp.Diff(want, s.wire.notes()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What cannot be known yet is told later: nothing else writes the Event again.
func TestMoreIsToldOnceItIsKnown(t *testing.T) {
	t.Parallel()
	failing, asked := true, 0
	s := newStage(t, func(o *Options) {
		o.More = func(_ context.Context, about corev1.ObjectReference, _ int) (string, error) {
			switch {
			case about.Kind != "Job":
				return "", nil
			case failing:
				asked++
				return "", errors.New("no answer")
			}
			return "All of it.", nil
		}
	})
	s.Tell(drained("a"))
	s.after(t, settle)
	if got := s.wire.notes()["Job"]; len(got) != 1 || strings.Contains(got[0], "All of it.") {
		t.Fatalf("without an answer is told: %q", got)
	}
	failing = false
	s.after(t, pause)
	if got := s.wire.notes()["Job"]; len(got) != 1 || !strings.Contains(got[0], "All of it.") {
		t.Errorf("with an answer is told: %q", got)
	}

	failing, asked = true, 0
	s.Tell(drained("b"))
	for range 3 * maxUnanswered {
		s.after(t, maxInterval)
	}
	if asked != maxUnanswered+1 {
		t.Errorf("what is never answered is asked %d times, want %d", asked, maxUnanswered+1)
	}
}

// Pods that leave together share one Event that counts them; the node's names no pod.
func TestManyPodsAreCounted(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *Options) {
		o.More = func(_ context.Context, about corev1.ObjectReference, disrupted int) (string, error) {
			if about.Kind != "Job" {
				return "", nil
			}
			return fmt.Sprintf("All %d failures were disruptions.", disrupted), nil
		}
	})
	for n := range 80 {
		s.Tell(drained(fmt.Sprintf("p-%d", n)))
	}
	s.after(t, settle)
	got := s.wire.notes()
	delete(got, "Pod")
	want := map[string][]string{
		"Job":  {"PodDisrupted x80 80 pods left: NodeDrained (disruption). All 80 failures were disruptions. The last was p-79: its node was drained by alice; before it p-78, p-77, p-76, p-75"},
		"Node": {"PodDisrupted x80 80 pods of this node left: NodeDrained (disruption)"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	writes := s.wire.writes
	s.Tell(drained("late"))
	s.after(t, time.Second)
	if s.wire.writes != writes {
		t.Errorf("one more pod makes %d writes at once, want none", s.wire.writes-writes)
	}
	s.after(t, pause)
	if got := s.wire.notes()["Job"][0]; !strings.Contains(got, "x81 81 pods") {
		t.Errorf("it is not counted: %s", got)
	}
}

// No two causes share an Event.
func TestEachCauseIsTold(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	codes := []string{"NodeDrained", "KernelPanic", "Evicted"}
	for n, code := range codes {
		e := drained(fmt.Sprintf("p-%d", n))
		e.Code = code
		s.Tell(e)
	}
	s.after(t, settle)
	for kind, notes := range s.wire.notes() {
		if len(notes) != len(codes) {
			t.Errorf("%s is told %q, want each of %d causes", kind, notes, len(codes))
		}
	}
}

// A series that has been idle is over: the next pod begins another.
func TestSeriesEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Tell(drained("a"))
	s.after(t, settle)
	s.after(t, idle+time.Minute)
	if len(s.series) != 0 || len(s.pods) != 0 {
		t.Errorf("%d series are still kept, of %d objects", len(s.series), len(s.pods))
	}
	s.Tell(drained("b"))
	s.after(t, settle)
	if notes := s.wire.notes()["Job"]; len(notes) != 2 {
		t.Errorf("the Job is told %q, want two Events", notes)
	}
}

// The API server expires Events; the series is then written as a new one.
func TestForgottenEventIsWrittenAnew(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Tell(drained("a"))
	s.after(t, settle)
	clear(s.wire.events)
	s.Tell(drained("b"))
	s.after(t, pause)
	if notes := s.wire.notes()["Job"]; len(notes) != 1 || !strings.Contains(notes[0], "x2 ") {
		t.Errorf("the Job is told %q, want both pods", notes)
	}
}

func TestFailedWritesAreRepeated(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.wire.answer = errors.New("the API server is away")
	s.Tell(drained("a"))
	s.after(t, settle)
	s.wire.answer = nil
	s.after(t, pause)
	if notes := s.wire.notes(); len(notes["Job"]) != 1 || len(notes["Node"]) != 1 {
		t.Errorf("told %q, want what had failed", notes)
	}
	if n := testutil.ToFloat64(s.events.WithLabelValues(failed)); n != 3 {
		t.Errorf("counted %v failures, want 3", n)
	}
}

// An Event that a quota or a policy refuses is not retried.
func TestRefusedEventsAreNot(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.wire.answer = apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "x",
		errors.New("exceeded quota"))
	s.Tell(drained("a"))
	s.after(t, settle)
	writes := s.wire.writes
	s.after(t, maxInterval)
	if s.wire.writes != writes || len(s.series) != 0 {
		t.Errorf("%d more writes, %d series kept", s.wire.writes-writes, len(s.series))
	}
}

// Thousands of departures do not fill the memory, and owners' Events are written before pods'.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for n := range 3 * maxSeries {
		e := drained(fmt.Sprintf("p-%d", n))
		e.Code = fmt.Sprintf("Theirs%d", n)
		e.Owners = []corev1.ObjectReference{{Kind: "Job", Namespace: "batch", Name: e.Pod.Name}}
		s.Tell(e)
	}
	if len(s.series) > maxSeries || s.ofPods > maxOfPods {
		t.Errorf("%d series are kept, %d of pods", len(s.series), s.ofPods)
	}
	s.clock.Step(settle)
	if first := s.next(); first == nil || first.ofPod() {
		t.Errorf("the first that is told is %+v, want an owner or a node", first)
	}
}

// Start writes the Events, at most at the allowed rate, and returns when its context ends.
func TestStart(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *Options) { o.PerSecond = 1e-6 })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Start(ctx) }()
	for n := range 2 * burst {
		e := drained(fmt.Sprintf("p-%d", n))
		e.Owners = []corev1.ObjectReference{{Kind: "Job", Namespace: "batch", Name: e.Pod.Name}}
		s.Tell(e)
	}
	for s.written() < burst {
		s.clock.Step(settle)
		time.Sleep(time.Millisecond)
	}
	s.clock.Step(time.Hour)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Start = %v", err)
	}
	if n := s.written(); n != burst {
		t.Errorf("wrote %d Events, want no more than the burst of %d", n, burst)
	}
}

func (s stage) written() int {
	s.wire.mu.Lock()
	defer s.wire.mu.Unlock()
	return s.wire.writes
}

// Events about a node are read by people outside the pods' namespaces.
func TestEventsOnNodesNameNoPod(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"Preempted":  "PodDisrupted x1 A pod of this node left: Preempted (disruption)",
		"secret-pod": "PodDisrupted x1 A pod of this node left: a code of another tool (disruption)",
	} {
		s := newStage(t)
		e := drained("secret-pod")
		e.Code, e.Text = code,
			"This pod was preempted by a higher priority job (secret-team/secret-job)"
		s.Tell(e)
		s.after(t, settle)
		if got := s.wire.notes()["Node"]; len(got) != 1 || got[0] != want {
			t.Errorf("the node is told %q, want %q", got, want)
		}
	}
}

// Text from others is cleaned and cut to fit.
func TestHostileNotes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	evil := strings.Repeat("\x1b]0;owned\x07\u202e<b>", 1<<16) // 1 MB
	e := drained("a")
	e.Text, e.Code, e.Pod.Name = evil, evil, evil
	s.Tell(e)
	s.Tell(e)
	s.after(t, settle)
	for kind, notes := range s.wire.notes() {
		for _, note := range notes {
			if strings.ContainsAny(note, "\x1b\x07\u202e") || len(note) > 1100 {
				t.Errorf("%s is told %q", kind, note)
			}
			if kind == "Node" && strings.Contains(note, "owned") {
				t.Errorf("the node is told %q", note)
			}
		}
	}
}

// A pod gets an Event of its own unless its owner's Event counts many, by the time they are told.
func TestPodsOfAFewAreToldThemselves(t *testing.T) {
	t.Parallel()
	for pods, want := range map[int]int{maxLatest: maxLatest, maxLatest + 1: 0} {
		s := newStage(t)
		for n := range pods {
			s.Tell(drained(fmt.Sprintf("p-%d", n)))
		}
		s.after(t, settle)
		if got := s.wire.notes()["Pod"]; len(got) != want {
			t.Errorf("of %d pods, %q have an Event, want %d", pods, got, want)
		}
		if s.ofPods != 0 {
			t.Errorf("of %d pods, %d are still kept", pods, s.ofPods)
		}
	}
}

// workloads are what the pods of a drain belong to: the nearest owner first.
func workloads() (all [][]corev1.ObjectReference) {
	of := func(kind, name string) corev1.ObjectReference {
		return corev1.ObjectReference{Kind: kind, Namespace: "batch", Name: name,
			UID: types.UID(kind + name)}
	}
	return [][]corev1.ObjectReference{
		{of("ReplicaSet", "web-1"), of("Deployment", "web")},
		{of("ReplicaSet", "api-1"), of("Deployment", "api")},
		{of("StatefulSet", "db")},
		{of("Job", "train")},
		{of("Job", "nightly-1"), of("CronJob", "nightly")},
		{of("Job", "step-1"), of("Workflow", "pipeline")},
	}
}

// 5,000 pods are drained from 50 nodes while one node panics, one breaks and one is taken away.
// Whether that takes seconds or minutes, it costs at most 200 writes, at the pace of the default
// configuration, and every object is told each of its causes and the number of its pods.
func TestEventsOfADrainOfThousands(t *testing.T) {
	t.Parallel()
	const pods, nodes, most, tick = 5000, 50, 200, 100 * time.Millisecond
	codes := map[int]string{7: "KernelPanic", 19: "HardwareFailure", 31: "SpotInterrupted"}
	for _, lasting := range []time.Duration{time.Second, 10 * time.Second, time.Minute,
		5 * time.Minute, 10 * time.Minute} {
		t.Run(lasting.String(), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, func(o *Options) { o.PerSecond = 1 })
			want, owners := map[key]int32{}, workloads()
			tell := func(n int) {
				at := n * nodes / pods
				e := drained(fmt.Sprintf("p-%d", n))
				e.Owners = owners[n%len(owners)]
				e.Node = &corev1.ObjectReference{Kind: "Node", Name: fmt.Sprintf("n-%d", at),
					UID: types.UID(fmt.Sprintf("n-%d", at))}
				if code := codes[at]; code != "" {
					e.Code = code
				}
				for _, about := range append([]corev1.ObjectReference{*e.Node}, e.Owners...) {
					want[key{about, e.Reason, e.Code}]++
				}
				s.Tell(e)
			}
			told, until := 0, lasting+maxInterval
			for past := time.Duration(0); past < until; past += tick {
				for ; told < pods && time.Duration(told)*lasting/pods <= past; told++ {
					tell(told)
				}
				s.clock.Step(tick)
				for next := s.next(); next != nil && s.pace.TryAccept(); next = s.next() {
					s.write(t.Context(), next)
				}
			}
			if s.wire.writes > most {
				t.Errorf("%d pods take %d writes, want at most %d", pods, s.wire.writes, most)
			}
			got := map[key]int32{}
			for _, e := range s.wire.events {
				if _, code, ok := strings.Cut(e.Message, "left: "); ok &&
					e.InvolvedObject.Kind != "Pod" {
					code, _, _ = strings.Cut(code, " ")
					got[key{e.InvolvedObject, e.Reason, code}] += e.Count
				}
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(key{})); diff != "" {
				t.Errorf("what is told, -want +got:\n%s", diff)
			}
			t.Logf("%d writes", s.wire.writes)
		})
	}
}
