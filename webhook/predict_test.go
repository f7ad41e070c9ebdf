package webhook

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// The cases are those of CheckGracefulDelete
// (k8s.io/kubernetes@v1.37.2/pkg/registry/core/pod/strategy.go) and BeforeDelete
// (k8s.io/apiserver@v0.37.2/pkg/registry/rest/delete.go).
func TestVanishes(t *testing.T) {
	t.Parallel()
	spec := func(seconds int64) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = &seconds }
	}
	phase := func(phase corev1.PodPhase) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Status.Phase = phase }
	}
	terminating := func(left int64) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.DeletionTimestamp,
				p.DeletionGracePeriodSeconds = ptr.To(metav1.Now()), &left
		}
	}
	unbound := func(p *corev1.Pod) { p.Spec.NodeName = "" }
	tests := map[string]struct {
		pod   []func(*corev1.Pod)
		asked *int64
		want  bool
	}{
		"by the spec, with grace":      {[]func(*corev1.Pod){spec(30)}, nil, false},
		"by the spec, without":         {[]func(*corev1.Pod){spec(0)}, nil, true},
		"a negative grace in the spec": {[]func(*corev1.Pod){spec(-5)}, nil, false},
		"asked for no grace": {[]func(*corev1.Pod){spec(30)}, ptr.To[int64](0),
			true},
		"asked for grace, the spec has none": {[]func(*corev1.Pod){spec(0)}, ptr.To[int64](10),
			false},
		"asked for a negative grace": {[]func(*corev1.Pod){spec(0)}, ptr.To[int64](-1),
			false},
		"neither says": {nil, nil, true},
		"unbound": {[]func(*corev1.Pod){spec(30), unbound},
			ptr.To[int64](30), true},
		"succeeded": {
			[]func(*corev1.Pod){spec(30), phase(corev1.PodSucceeded)}, nil, true},
		"failed": {
			[]func(*corev1.Pod){spec(30), phase(corev1.PodFailed)}, ptr.To[int64](30), true},
		"terminating": {[]func(*corev1.Pod){spec(0), terminating(20)},
			nil, false},
		"terminating and failed": {
			[]func(*corev1.Pod){phase(corev1.PodFailed), terminating(20)}, nil, false},
		"terminating, asked for less": {[]func(*corev1.Pod){terminating(20)},
			ptr.To[int64](5), false},
		"terminating, asked for none": {[]func(*corev1.Pod){terminating(20)},
			ptr.To[int64](0), true},
		"in the last step, asked for grace": {[]func(*corev1.Pod){terminating(0)},
			ptr.To[int64](30), true},
		"in the last step, as the spec would it": {[]func(*corev1.Pod){spec(30), terminating(0)},
			nil, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := vanishes(aPod(tt.pod...), tt.asked); got != tt.want {
				t.Errorf("vanishes: %t, want %t", got, tt.want)
			}
		})
	}
}

func TestSkipsBudgets(t *testing.T) {
	t.Parallel()
	for phase, want := range map[corev1.PodPhase]bool{
		corev1.PodPending: true, corev1.PodSucceeded: true, corev1.PodFailed: true,
		corev1.PodRunning: false, corev1.PodUnknown: false,
	} {
		pod := aPod(func(p *corev1.Pod) { p.Status.Phase = phase })
		if got := skipsBudgets(pod); got != want {
			t.Errorf("%s: %t, want %t", phase, got, want)
		}
		pod.DeletionTimestamp = ptr.To(metav1.Now())
		if !skipsBudgets(pod) {
			t.Errorf("%s and terminating: the budgets are asked", phase)
		}
	}
}

// The cases are those of EvictionREST.Create, checkAndDecrement and getPodDisruptionBudgets
// (k8s.io/kubernetes@v1.37.2/pkg/registry/core/pod/storage/eviction.go).
func TestBudgetsRefuse(t *testing.T) {
	t.Parallel()
	type budget = policyv1.PodDisruptionBudget
	covering := func(change ...func(*budget)) budget {
		b := budget{
			ObjectMeta: metav1.ObjectMeta{Generation: 3},
			Spec: policyv1.PodDisruptionBudgetSpec{
				Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}},
			Status: policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 3, DesiredHealthy: 2,
				CurrentHealthy: 2},
		}
		for _, f := range change {
			f(&b)
		}
		return b
	}
	allowing := func(n int32) func(*budget) {
		return func(b *budget) { b.Status.DisruptionsAllowed = n }
	}
	health := func(current, desired int32) func(*budget) {
		return func(b *budget) {
			b.Status.CurrentHealthy, b.Status.DesiredHealthy = current,
				desired
		}
	}
	policy := func(p policyv1.UnhealthyPodEvictionPolicyType) func(*budget) {
		return func(b *budget) { b.Spec.UnhealthyPodEvictionPolicy = &p }
	}
	behind := func(b *budget) { b.Status.ObservedGeneration = 2 }
	selecting := func(s *metav1.LabelSelector) func(*budget) {
		return func(b *budget) { b.Spec.Selector = s }
	}
	disrupted := func(n int) func(*budget) {
		return func(b *budget) {
			b.Status.DisruptedPods = map[string]metav1.Time{}
			for i := range n {
				b.Status.DisruptedPods[fmt.Sprint(i)] = metav1.Now()
			}
		}
	}
	other := selecting(&metav1.LabelSelector{MatchLabels: map[string]string{"app": "b"}})
	invalid := selecting(
		&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "app", Operator: "Near"}}})
	tests := map[string]struct {
		budgets []budget
		ready   bool
		want    bool
	}{
		"no budget":                  {nil, true, false},
		"one that covers other pods": {[]budget{covering(other)}, true, false},
		"without a selector": {[]budget{covering(selecting(nil))}, true,
			false},
		"an invalid selector covers nothing": {
			[]budget{covering(invalid), covering(allowing(1))}, true, false},
		"an empty selector covers all": {
			[]budget{covering(selecting(&metav1.LabelSelector{}))}, true, true},
		"a disruption is allowed":      {[]budget{covering(allowing(1))}, true, false},
		"none is allowed":              {[]budget{covering()}, true, true},
		"a negative number is allowed": {[]budget{covering(allowing(-1))}, true, true},
		"two that allow it": {
			[]budget{covering(allowing(1)), covering(allowing(1))}, true, true},
		"two, of an unready pod": {
			[]budget{covering(policy(policyv1.AlwaysAllow)),
				covering(policy(policyv1.AlwaysAllow))}, false, true},
		"not counted since it changed": {[]budget{covering(allowing(1), behind)}, true,
			true},
		"as many unconfirmed as there may be": {
			[]budget{covering(allowing(1), disrupted(maxDisruptedPods))}, true, false},
		"too many unconfirmed": {
			[]budget{covering(allowing(1), disrupted(maxDisruptedPods+1))}, true, true},
		"AlwaysAllow, unready": {
			[]budget{covering(policy(policyv1.AlwaysAllow), health(0, 2), behind)}, false, false},
		"AlwaysAllow, ready": {
			[]budget{covering(policy(policyv1.AlwaysAllow))}, true, true},
		"by default, unready, enough are healthy": {[]budget{covering(behind)}, false, false},
		"by default, unready, too few are healthy": {[]budget{covering(health(1, 2))}, false,
			true},
		"by default, unready, none need be healthy": {[]budget{covering(health(0, 0))}, false,
			true},
		"by default, unready, allowed all the same": {[]budget{covering(health(1, 2), allowing(1))},
			false, false},
		"IfHealthyBudget, unready, enough": {
			[]budget{covering(policy(policyv1.IfHealthyBudget))}, false, false},
		"IfHealthyBudget, unready, too few": {
			[]budget{covering(policy(policyv1.IfHealthyBudget), health(1, 2))}, false, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := aPod(func(p *corev1.Pod) {
				p.Labels = map[string]string{"app": "a"}
				if tt.ready {
					p.Status.Conditions = []corev1.PodCondition{
						{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
				}
			})
			if got := budgetsRefuse(pod, tt.budgets); got != tt.want {
				t.Errorf("refused: %t, want %t", got, tt.want)
			}
		})
	}
}
