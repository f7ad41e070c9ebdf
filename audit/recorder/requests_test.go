package recorder

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
)

// stopping is a pod that was told to stop at noon, whose container ended with 0 that long after,
// and whose kubelet then removed it: the API server has moved its deletion timestamp there.
func stopping(ended, removed time.Duration) *corev1.Pod {
	pod := whole()
	pod.CreationTimestamp = metav1.NewTime(noon.Add(-time.Hour))
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = ptr.To(
		metav1.NewTime(noon.Add(removed))), ptr.To(int64(0))
	pod.Annotations = nil
	pod.OwnerReferences = nil
	pod.Status = corev1.PodStatus{Phase: corev1.PodSucceeded,
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				StartedAt:  metav1.NewTime(noon.Add(-time.Hour)),
				FinishedAt: metav1.NewTime(noon.Add(ended)), Reason: "Completed",
			}},
		}}}
	return pod
}

// told is the same pod as it was when it was told.
func told(pod *corev1.Pod) *corev1.Pod {
	first := pod.DeepCopy()
	first.DeletionTimestamp, first.DeletionGracePeriodSeconds = ptr.To(
		metav1.NewTime(noon.Add(30*time.Second))), ptr.To(int64(30))
	first.Status.Phase = corev1.PodRunning
	return first
}

// The verdicts of docs/batch-users.md do not depend on how long a pod takes to end.
func TestVerdictsOfPodsThatTakeLongToEnd(t *testing.T) {
	t.Parallel()
	byAlice := reason.Reason{Code: reason.UserRequest, Text: "frees the licence", By: "alice"}
	for _, takes := range []time.Duration{0, 30 * time.Second, 300 * time.Second} {
		tests := map[string]struct {
			ended time.Duration
			want  story.Basis
		}{
			"it ended when it was told":    {min(takes, time.Second), story.ToldToStop},
			"it ended while it was waited": {takes / 2, story.ToldToStop},
			"it had ended long before":     {-10 * time.Minute, story.Finished},
		}
		for name, tc := range tests {
			t.Run(fmt.Sprintf("%s, %s", takes, name), func(t *testing.T) {
				t.Parallel()
				r, pod := fresh(t), stopping(tc.ended, takes)
				r.leadsSince = "1"
				if tc.ended >= 0 { // what has ended is removed at once
					r.requests.note(told(pod), false)
				} else {
					pod.DeletionTimestamp = ptr.To(metav1.NewTime(noon))
				}
				last, _ := r.told(t.Context(), departure{pod: trim(pod, reads, recordedLabels), revision: "2"})
				if got := obituary.EndedByItself(last); got != (tc.want == story.Finished) {
					t.Errorf("ended by itself %t", got)
				}
				o := obituary.Of(last, byAlice, noon.Add(takes))
				if v := story.OfPod(story.Facts{Pod: o}).Verdict; v == nil || v.Basis != tc.want {
					t.Errorf("the verdict is %+v, want %s (deletion requested %s)", v, tc.want,
						o.Spec.DeletionRequested)
				}
			})
		}
	}
}

func TestWhenAPodWasToldToStop(t *testing.T) {
	t.Parallel()
	pod := stopping(time.Second, 93*time.Second)
	r := fresh(t)
	r.requests.note(pod, false)
	if _, known := r.requests.of(pod.UID); known {
		t.Error("the final DELETE was taken for the first")
	}
	r.requests.doubt(pod)
	if first, known := r.requests.of(pod.UID); !known || !first.at.IsZero() {
		t.Errorf("remembered %s, %t, want a doubt", first.at, known)
	}
	r.requests.note(told(pod), false)
	r.requests.note(pod, true)
	if first, _ := r.requests.of(pod.UID); !first.at.Equal(noon) {
		t.Errorf("remembered %s, want noon, when it was told first", first.at)
	}
	forced := stopping(time.Second, 0)
	forced.UID = "forced"
	r.requests.note(forced, true)
	if first, known := r.requests.of("forced"); !known || !first.at.Equal(noon) {
		t.Errorf("of a pod that was seen alive is remembered %s, %t", first.at, known)
	}
}

// What the mark says when the pod is first seen to terminate counts. An eviction's mark comes a
// moment later; that of another deletion does not count.
func TestWhoToldAPodToStop(t *testing.T) {
	t.Parallel()
	marked := func(mark string) *corev1.Pod {
		pod := told(stopping(time.Second, 93*time.Second))
		pod.Annotations = map[string]string{reason.WrittenKey: mark}
		return pod
	}
	minute := noon.Format(time.RFC3339)
	tests := map[string]struct {
		seen []string
		want string
	}{
		"the first counts": {
			[]string{minute + " asked alice", minute + " asked bob"}, "alice"},
		"an eviction's comes later": {[]string{"", minute + " 0123456789abcdef alice"},
			"alice"},
		"a name with spaces": {[]string{minute + " asked x alice"}, "x alice"},
		"nobody is named":    {[]string{minute + " 0123456789abcdef"}, ""},
		"a deletion that did not come about": {
			[]string{noon.Add(-10*time.Minute).Format(time.RFC3339) + " asked alice"}, ""},
		"no mark of ours": {[]string{"asked alice"}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := fresh(t)
			for _, mark := range tc.seen {
				r.requests.note(marked(mark), false)
			}
			last := stopping(time.Second, 93*time.Second)
			last.Annotations = map[string]string{reason.WrittenKey: minute + " asked mallory"}
			if _, by := r.told(t.Context(), departure{pod: trim(last, reads, recordedLabels),
				revision: "2"}); by != tc.want {
				t.Errorf("told by %q, want %q", by, tc.want)
			}
		})
	}
}
