package obituary

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

func TestHeld(t *testing.T) {
	t.Parallel()
	gone := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(ago time.Duration) *metav1.Time { return new(metav1.NewTime(gone.Add(-ago))) }
	exited := func(from, to time.Duration) v1alpha1.ContainerEnd {
		return v1alpha1.ContainerEnd{State: v1alpha1.Exited, Started: at(from), Finished: at(to)}
	}
	running := v1alpha1.ContainerEnd{State: v1alpha1.Running, Started: at(time.Hour)}
	tests := map[string]struct {
		spec  v1alpha1.PodObituarySpec
		want  time.Duration
		known bool
	}{
		"it ran until it was gone": {v1alpha1.PodObituarySpec{NodeName: "n", Began: at(2 * time.Hour),
			Containers: []v1alpha1.ContainerEnd{running}}, 2 * time.Hour, true},
		"it had ended, and lingered": {v1alpha1.PodObituarySpec{NodeName: "n", Began: at(3 * time.Hour),
			Containers: []v1alpha1.ContainerEnd{exited(3*time.Hour, 2*time.Hour), exited(3*time.Hour, time.Hour)}},
			2 * time.Hour, true},
		"one of two had ended": {v1alpha1.PodObituarySpec{NodeName: "n", Began: at(3 * time.Hour),
			Containers: []v1alpha1.ContainerEnd{exited(3*time.Hour, 2*time.Hour), running}}, 3 * time.Hour, true},
		"taken on, and nothing started": {v1alpha1.PodObituarySpec{NodeName: "n", Began: at(time.Minute),
			Containers: []v1alpha1.ContainerEnd{{State: v1alpha1.NeverStarted}}}, time.Minute, true},
		"of before the record had it": {v1alpha1.PodObituarySpec{NodeName: "n",
			Containers: []v1alpha1.ContainerEnd{exited(2*time.Hour, 90*time.Minute), running}}, 2 * time.Hour, true},
		"no kubelet took it on": {v1alpha1.PodObituarySpec{}, 0, true},
		"refused at once":       {v1alpha1.PodObituarySpec{NodeName: "n", RefusedAtOnce: true}, 0, true},
		"bound, and nothing known": {v1alpha1.PodObituarySpec{NodeName: "n",
			Containers: []v1alpha1.ContainerEnd{{State: v1alpha1.NeverStarted}}}, 0, false},
		"a clock ahead":  {v1alpha1.PodObituarySpec{NodeName: "n", Began: at(-time.Hour)}, 0, true},
		"a clock of old": {v1alpha1.PodObituarySpec{NodeName: "n", Began: &metav1.Time{}}, maxHeld, true},
	}
	for name, tc := range tests {
		tc.spec.Removed = metav1.NewTime(gone)
		if got, known := Held(&tc.spec); got != tc.want || known != tc.known {
			t.Errorf("%s: %v, %t, want %v, %t", name, got, known, tc.want, tc.known)
		}
	}
}

func TestGPUs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		requests map[string]v1alpha1.Amount
		want     int64
	}{
		"none":       {map[string]v1alpha1.Amount{"cpu": "8"}, 0},
		"nvidia":     {map[string]v1alpha1.Amount{"nvidia.com/gpu": "8"}, 8},
		"two makers": {map[string]v1alpha1.Amount{"amd.com/gpu": "2", "gpu.intel.com/i915": "1"}, 3},
		"a slice":    {map[string]v1alpha1.Amount{"nvidia.com/mig-1g.5gb": "1"}, 0},
		"hostile":    {map[string]v1alpha1.Amount{"a.b/gpu": "-5", "c.d/gpu": "9E", "e.f/gpu": "x"}, maxGPUs},
	}
	for name, tc := range tests {
		if got := GPUs(&v1alpha1.PodObituarySpec{Requests: tc.requests}); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}
