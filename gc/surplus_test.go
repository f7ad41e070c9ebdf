package gc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func finishedAt(name string, age time.Duration, phase corev1.PodPhase, why string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name),
			CreationTimestamp: metav1.NewTime(noon.Add(-age))},
		Status: corev1.PodStatus{Phase: phase, Reason: why},
	}
}

func TestSurplusGoesInTheBuiltInOrder(t *testing.T) {
	t.Parallel()
	f := newFinishedPods()
	for _, pod := range []*corev1.Pod{
		finishedAt("young", time.Minute, corev1.PodSucceeded, ""),
		finishedAt("old", time.Hour, corev1.PodFailed, ""),
		finishedAt("b-twin", 2*time.Hour, corev1.PodSucceeded, ""),
		finishedAt("a-twin", 2*time.Hour, corev1.PodSucceeded, ""),
		finishedAt("evicted", time.Second, corev1.PodFailed, "Evicted"),
		finishedAt("says-evicted", time.Second, corev1.PodSucceeded, "Evicted"),
	} {
		f.note(pod, true)
	}
	tests := map[string]struct {
		threshold int
		want      []string
	}{
		"none beyond":           {threshold: 6, want: nil},
		"the evicted one first": {threshold: 5, want: []string{"evicted"}},
		"then the oldest by name": {threshold: 2,
			want: []string{"evicted", "a-twin", "b-twin", "old"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range f.beyond(tc.threshold) {
				got = append(got, p.key.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("pods to go (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGoneAndRevivedPodsAreNotCounted(t *testing.T) {
	t.Parallel()
	f := newFinishedPods()
	pod := finishedAt("a", time.Hour, corev1.PodFailed, "")
	if n := f.note(pod, true); n != 1 || !f.exceed(0) {
		t.Fatalf("%d pods counted, want 1", n)
	}
	if n := f.note(pod, false); n != 0 || f.exceed(0) {
		t.Errorf("%d pods counted, want 0", n)
	}
}
