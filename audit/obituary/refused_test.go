package obituary

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

func TestRefusedAtOnce(t *testing.T) {
	t.Parallel()
	start := metav1.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	by := func(manager, part string, after time.Duration) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Subresource: part,
			Time: ptr.To(metav1.NewTime(start.Add(after)))}
	}
	for name, tc := range map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"refused": {func(*corev1.Pod) {}, true},
		"refused, and annotated much later": {func(p *corev1.Pod) {
			p.ManagedFields = append(p.ManagedFields, by("epitaph", "status", time.Hour),
				by("kubelet", "", time.Hour))
		}, true},
		"over the turn of a second": {func(p *corev1.Pod) {
			p.ManagedFields[0] = by("kubelet", "status", time.Second)
		}, true},
		"by a clock that is a bit behind": {func(p *corev1.Pod) {
			p.ManagedFields[0] = by("kubelet", "status", -time.Second)
		}, true},
		"by a clock that is behind": {func(p *corev1.Pod) {
			p.ManagedFields[0] = by("kubelet", "status", -4*time.Second)
		}, false},
		"after it had run for a moment": {func(p *corev1.Pod) {
			p.ManagedFields[0] = by("kubelet", "status", 2*time.Second)
		}, false},
		"after it had run": {func(p *corev1.Pod) {
			p.ManagedFields[0] = by("kubelet", "status", time.Minute)
		}, false},
		"after it had been seen": {func(p *corev1.Pod) {
			p.ManagedFields = append(p.ManagedFields, by("kubelet", "status", time.Minute))
		}, false},
		"nobody knows when": {func(p *corev1.Pod) { p.ManagedFields = nil }, false},
		"nobody knows since when": {func(p *corev1.Pod) { p.Status.StartTime = nil },
			false},
		"with a container": {func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main"}}
		}, false},
		"failed by somebody else": {func(p *corev1.Pod) {
			p.Status.Message = "The node was low on resource: memory."
		}, false},
		"running": {func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{
					ManagedFields: []metav1.ManagedFieldsEntry{by("kubelet", "status", 0)}},
				Status: corev1.PodStatus{
					Phase: corev1.PodFailed, Reason: "OutOfcpu",
					Message:   "Pod was rejected: Node didn't have enough resource: cpu",
					StartTime: &start,
				},
			}
			if tc.change(p); RefusedAtOnce(p) != tc.want ||
				Of(p, reason.Reason{}, start.Time).Spec.RefusedAtOnce != tc.want {
				t.Errorf("refused at once: %t, want %t", !tc.want, tc.want)
			}
		})
	}
}
