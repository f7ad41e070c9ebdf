package recorder

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/audit/story"
	"github.com/epitaph-k8s/epitaph/reason"
)

// stopping is a pod that was told to stop at noon, whose container ended with 0 so long after that, and whose kubelet then
// removed it: the API server has moved its deletion timestamp there.
func stopping(ended, removed time.Duration) *corev1.Pod {
	pod := whole()
	pod.CreationTimestamp = metav1.NewTime(noon.Add(-time.Hour))
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = ptr.To(metav1.NewTime(noon.Add(removed))), ptr.To(int64(0))
	pod.Annotations = nil
	pod.OwnerReferences = nil
	pod.Status = corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			StartedAt: metav1.NewTime(noon.Add(-time.Hour)), FinishedAt: metav1.NewTime(noon.Add(ended)), Reason: "Completed",
		}},
	}}}
	return pod
}

// told is the same pod as it was when it was told.
func told(pod *corev1.Pod) *corev1.Pod {
	first := pod.DeepCopy()
	first.DeletionTimestamp, first.DeletionGracePeriodSeconds = ptr.To(metav1.NewTime(noon.Add(30*time.Second))), ptr.To(int64(30))
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
				last := r.told(t.Context(), departure{pod: trim(pod, reason.DefaultKeys().Pod), revision: "2"})
				if got := obituary.EndedByItself(last); got != (tc.want == story.Finished) {
					t.Errorf("ended by itself %t", got)
				}
				o := obituary.Of(last, byAlice, noon.Add(takes))
				if v := story.OfPod(story.Facts{Pod: o}).Verdict; v == nil || v.Basis != tc.want {
					t.Errorf("the verdict is %+v, want %s (deletion requested %s)", v, tc.want, o.Spec.DeletionRequested)
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
	if at, known := r.requests.of(pod.UID); !known || !at.IsZero() {
		t.Errorf("remembered %s, %t, want a doubt", at, known)
	}
	r.requests.note(told(pod), false)
	r.requests.note(pod, true)
	if at, _ := r.requests.of(pod.UID); !at.Equal(noon) {
		t.Errorf("remembered %s, want noon, when it was told first", at)
	}
	forced := stopping(time.Second, 0)
	forced.UID = "forced"
	r.requests.note(forced, true)
	if at, known := r.requests.of("forced"); !known || !at.Equal(noon) {
		t.Errorf("of a pod that was seen alive is remembered %s, %t", at, known)
	}
}
