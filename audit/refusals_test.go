package audit

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/reason"
)

// What was decided about an eviction is the reason of a pod that the API server says it evicted,
// and of no other.
func TestEvictionsAreRemembered(t *testing.T) {
	t.Parallel()
	evicted := corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		Reason: "EvictionByEvictionAPI"}
	preempted := corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		Reason: "PreemptionByScheduler"}
	tests := map[string]struct {
		condition corev1.PodCondition
		uid       types.UID
		after     time.Duration
		want      bool
	}{
		"it was evicted":               {evicted, "u1", time.Second, true},
		"it went otherwise":            {corev1.PodCondition{}, "u1", time.Second, false},
		"it was preempted":             {preempted, "u1", time.Second, false},
		"another pod of the same name": {evicted, "u2", time.Second, false},
		"long after":                   {evicted, "u1", refusalLag + time.Second, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clk := testingclock.NewFakePassiveClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
			f, err := NewRefusals(prometheus.NewRegistry(), nil, clk)
			if err != nil {
				t.Fatal(err)
			}
			asked := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "batch",
				UID: "u1"}}
			want := reason.New(reason.Pod, reason.Evicted, "by alice", "alice")
			f.Promised(asked, reason.New(reason.Pod, reason.Evicted, "by bob", "bob"), true)
			f.Promised(asked, want, true)
			left := asked.DeepCopy()
			left.UID = tt.uid
			left.Status.Conditions = []corev1.PodCondition{tt.condition}
			got, ok := f.Of(left, clk.Now().Add(tt.after))
			if ok != tt.want || ok && got != want {
				t.Errorf("%+v, %t, want it: %t", got, ok, tt.want)
			}
		})
	}
	var none *Refusals
	none.Promised(&corev1.Pod{}, reason.Reason{}, true)
}

// What was promised to a deletion is for the record of the pod that it ended, unless it stands on
// the pod, or an eviction has ended it.
func TestPromiseToADeletionIsForTheRecord(t *testing.T) {
	t.Parallel()
	clk := testingclock.NewFakePassiveClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
	f, err := NewRefusals(prometheus.NewRegistry(), nil, clk)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "batch", UID: "u1"}}
	want := reason.New(reason.Pod, reason.UserRequest, "frees the licence", "alice")
	f.Promised(pod, want, false)
	if got, ok := f.Of(pod, clk.Now()); !ok || got != want {
		t.Errorf("the record has %+v, %t", got, ok)
	}
	if got, ok := f.Of(pod, clk.Now().Add(time.Hour/2)); ok {
		t.Errorf("a later end is told as %+v", got)
	}
	ended := pod.DeepCopy()
	ended.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget,
		Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI"}}
	if got, ok := f.Of(ended, clk.Now()); ok {
		t.Errorf("an eviction is told as %+v", got)
	}
	f.Kept(pod.UID)
	if got, ok := f.Of(pod, clk.Now()); ok {
		t.Errorf("what stands on the pod is kept, too: %+v", got)
	}
	var none *Refusals
	none.Kept(pod.UID)
}
