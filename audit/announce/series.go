package announce

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxLatest is how many pods a note names.
	maxLatest = 5
	// settle is how long to wait for the pods that leave together with the first.
	settle = 2 * time.Second
	// A node's Event waits until no pod has left for settle, for maxSettle at most: what matters is
	// how many leave, and a drain takes its time.
	maxSettle = time.Minute
	// A series is written again once it has not grown for pause. One that goes on growing is
	// written after firstInterval, and each time after twice as long, up to maxInterval.
	pause, firstInterval, maxInterval = 10 * time.Second, time.Minute, 5 * time.Minute
	// A series that has not grown for idle is over: the next pod begins another.
	idle = 10 * time.Minute
)

// An End is what to announce about a pod that left.
type End struct {
	// Pod, Owners (the nearest first) and Node are the objects that get Events. Node is nil if the
	// node is gone.
	Pod    corev1.ObjectReference
	Owners []corev1.ObjectReference
	Node   *corev1.ObjectReference
	// Type and Reason are those of the Event.
	Type, Reason string
	// Code and Class are the cause; Text is the sentence of the pod's reason.
	Code, Class, Text string
	// Failed is set if the pod's Job counts it as a failure, provided that it counts it at all.
	Failed bool
}

// key identifies a series.
type key struct {
	about        corev1.ObjectReference
	reason, code string
}

// A series is one Event.
type series struct {
	key
	kind, class string
	// pods counts the pods that left; latest are the last names, the newest first, and text is the
	// newest pod's.
	pods   int
	latest []string
	text   string
	// counted is how many of them count as failures of a Job.
	counted int

	first, last time.Time
	// name is the Event's, once it exists; written is how many pods it includes.
	name    string
	written int
	// wroteAt is when it was written last; interval is how long a growing series waits for the next
	// write.
	wroteAt  time.Time
	interval time.Duration
	// unanswered counts how often in a row More has failed. Only the writer knows it.
	unanswered int
	// owner is a pod's nearest owner, if it has one.
	owner corev1.ObjectReference
}

func newSeries(k key, e End, now time.Time) *series {
	return &series{key: k, kind: e.Type, class: e.Class, first: now, interval: firstInterval}
}

// due is when the series may be written next: it is of use early and when it is complete, and each
// write in between is one that a large drain can do without.
func (s *series) due() time.Time {
	switch {
	case !s.wroteAt.IsZero():
		earliest, quiet := s.wroteAt.Add(pause), s.last.Add(pause)
		return later(earliest, earlier(quiet, s.wroteAt.Add(s.interval)))
	case s.about.Namespace == "":
		return earlier(s.last.Add(settle), s.first.Add(maxSettle))
	default:
		return s.first.Add(settle)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (s *series) add(e End, now time.Time) {
	s.pods++
	s.last, s.text = now, e.Text
	s.latest = append([]string{e.Pod.Name}, s.latest[:min(len(s.latest), maxLatest-1)]...)
	if e.Failed {
		s.counted++
	}
}

// ofPod tells whether the series is about a single pod.
func (s *series) ofPod() bool { return s.about.Kind == "Pod" }

func (s *series) waits() bool { return s.written < s.pods }

// over tells whether the series is complete and completely written.
func (s *series) over(now time.Time) bool { return !s.waits() && now.Sub(s.last) >= idle }

// wrote records that the Event includes so many pods.
func (s *series) wrote(pods int, now time.Time) {
	if !s.wroteAt.IsZero() {
		s.interval = min(2*s.interval, maxInterval)
	}
	s.written, s.wroteAt = pods, now
}

// note returns the text of the Event; more is what to add about the object. Events about
// cluster-scoped objects are in the namespace default, where people other than the pods' tenants
// read: those Events contain neither names of pods nor anybody's words.
func (s *series) note(more string) string {
	cause := s.code
	if !reason.Code(cause).Known() {
		cause = "a code of another tool"
	}
	cause += " (" + s.class + ")"
	switch {
	case s.about.Namespace == "" && s.pods == 1:
		return "A pod of this node left: " + cause
	case s.about.Namespace == "":
		return fmt.Sprintf("%d pods of this node left: %s", s.pods, cause)
	case s.pods == 1:
		return reason.CleanTo("Pod "+s.latest[0]+" left: "+s.text+sentence(more), audit.MaxNoteBytes)
	}
	return reason.CleanTo(fmt.Sprintf("%d pods left: %s.%s The last was %s: %s; before it %s",
		s.pods, cause, sentence(more), s.latest[0], s.text, strings.Join(s.latest[1:], ", ")),
		audit.MaxNoteBytes)
}

func sentence(s string) string {
	if s == "" {
		return ""
	}
	return " " + s
}
