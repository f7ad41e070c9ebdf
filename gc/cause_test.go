package gc

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func pod(change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", UID: "uid-a",
			CreationTimestamp: metav1.NewTime(noon)},
		Spec:   corev1.PodSpec{NodeName: "n1"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func terminating(grace int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.DeletionTimestamp = ptr.To(metav1.NewTime(noon))
		p.DeletionGracePeriodSeconds = ptr.To(grace)
	}
}

func unbound(p *corev1.Pod)  { p.Spec.NodeName = "" }
func failed(p *corev1.Pod)   { p.Status.Phase = corev1.PodFailed }
func held(p *corev1.Pod)     { p.Finalizers = []string{"example.com/archive"} }
func noGrace(p *corev1.Pod)  { terminating(0)(p) }
func graceful(p *corev1.Pod) { terminating(30)(p) }

func TestCauses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pod       *corev1.Pod
		node      nodeState
		hasReason bool
		want      Cause
	}{
		"a running pod on a node":                {pod: pod(), node: inService},
		"a running pod on a node out of service": {pod: pod(), node: outOfService},
		"a pending pod":                          {pod: pod(unbound), node: absent},
		"a pod whose node is gone": {pod: pod(), node: absent,
			want: CauseOrphaned},
		"a finished pod whose node is gone": {pod: pod(failed), node: absent,
			want: CauseOrphaned},
		"an orphan that was deleted and not failed": {pod: pod(noGrace, held), node: absent,
			want: CauseOrphaned},
		"an orphan that only a finalizer holds": {pod: pod(noGrace, held, failed),
			node: absent, hasReason: true},
		"the same without a reason": {pod: pod(noGrace, held, failed),
			node: absent, want: CauseOrphaned},
		"an orphan that a lost delete left behind": {pod: pod(noGrace, failed),
			node: absent, hasReason: true, want: CauseOrphaned},
		"a terminating pod on a node out of service": {pod: pod(graceful),
			node: outOfService, hasReason: true, want: CauseOutOfService},
		"a terminating pod that was never scheduled": {pod: pod(unbound, noGrace, held),
			node: absent, hasReason: true, want: CauseUnscheduled},
		"a terminating pod without a reason": {pod: pod(graceful), node: inService,
			want: CauseUnexplained},
		"a terminating pod with one": {pod: pod(graceful), node: inService,
			hasReason: true},
		"a vanishing pod: any write would delete it": {pod: pod(noGrace), node: inService},
		"a pod at grace 0 that a finalizer holds can be it": {pod: pod(noGrace, held),
			node: inService, want: CauseUnexplained},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, ok := causeOf(tc.pod, tc.node, tc.hasReason); got != tc.want ||
				ok != (tc.want != "") {
				t.Errorf("cause %q (%t), want %q", got, ok, tc.want)
			}
		})
	}
}

func TestOutOfServiceNeedsTaintAndSilence(t *testing.T) {
	t.Parallel()
	taint := []corev1.Taint{{Key: corev1.TaintNodeOutOfService,
		Effect: corev1.TaintEffectNoExecute}}
	ready := func(s corev1.ConditionStatus) []corev1.NodeCondition {
		return []corev1.NodeCondition{{Type: corev1.NodeReady, Status: s}}
	}
	tests := map[string]struct {
		taints     []corev1.Taint
		conditions []corev1.NodeCondition
		want       nodeState
	}{
		"ready":  {conditions: ready(corev1.ConditionTrue), want: inService},
		"silent": {conditions: ready(corev1.ConditionUnknown), want: inService},
		"tainted but ready": {taints: taint, conditions: ready(corev1.ConditionTrue),
			want: inService},
		"tainted and silent": {taints: taint, conditions: ready(corev1.ConditionUnknown),
			want: outOfService},
		"tainted and not ready": {taints: taint, conditions: ready(corev1.ConditionFalse),
			want: outOfService},
		"tainted without condition": {taints: taint, want: outOfService},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := &corev1.Node{Spec: corev1.NodeSpec{Taints: tc.taints},
				Status: corev1.NodeStatus{Conditions: tc.conditions}}
			if got := stateOf(node); got != tc.want {
				t.Errorf("state %d, want %d", got, tc.want)
			}
		})
	}
}

// Whoever deleted a pod knows better why than the collector, and may be about to write it.
func TestWhichPodsWaitForTheirReason(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cause           Cause
		hasReason, want bool
	}{
		{CauseUnexplained, false, true},
		{CauseOutOfService, false, true},
		{CauseOutOfService, true, false},
		{CauseOrphaned, false, false},
		{CauseUnscheduled, false, false},
		{CauseTerminated, false, false},
	} {
		if got := waits(tc.cause, tc.hasReason); got != tc.want {
			t.Errorf("waits(%s, %t) = %t, want %t", tc.cause, tc.hasReason, got, tc.want)
		}
	}
}
