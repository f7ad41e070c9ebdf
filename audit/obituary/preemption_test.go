package obituary

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A victim's preemptor is found by what its record keeps: a new leader infers the same from it as
// from the pod.
func TestPreemptionSurvivesTheVictim(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	const condition = "batch-scheduler: preempting to accommodate a higher priority pod"
	victim := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "batch", Name: "victim", UID: "v1",
			CreationTimestamp:          metav1.NewTime(noon.Add(-time.Hour)),
			DeletionTimestamp:          ptr.To(metav1.NewTime(noon.Add(30 * time.Second))),
			DeletionGracePeriodSeconds: ptr.To(int64(30)),
		},
		Spec: corev1.PodSpec{NodeName: "n1", Priority: ptr.To(int32(10))},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: corev1.PodReasonPreemptionByScheduler, Message: condition,
		}}},
	}
	nominated := func(name string, priority int32, scheduler string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "batch", Name: name,
				CreationTimestamp: metav1.NewTime(noon.Add(-time.Minute))},
			Spec:   corev1.PodSpec{Priority: &priority, SchedulerName: scheduler},
			Status: corev1.PodStatus{NominatedNodeName: "n1"},
		}
	}
	waiting := []*corev1.Pod{nominated("of-another-scheduler", 100, "other"),
		nominated("lower", 5, "batch-scheduler"), nominated("urgent", 100, "batch-scheduler")}
	infer := func(pod *corev1.Pod) reason.Reason {
		r, _ := reason.Inferrer{Keys: reason.DefaultKeys()}.Infer(reason.Facts{
			Now: noon, Pod: pod, Preemptors: waiting,
			Remover: reason.Remover{User: "system:kube-scheduler", Actor: reason.Scheduler},
		})
		return r
	}
	supposed := reason.New(reason.Pod, reason.Preempted, "batch/first", "system:kube-scheduler")
	supposed.Supposed = true
	o := Of(victim, supposed, noon.Add(time.Second))
	o.Spec.Preemption = PreemptionOf(victim, supposed)
	pod, own := Preempted(o)
	if own != supposed {
		t.Errorf("the record has %+v, want %+v", own, supposed)
	}
	want := reason.New(reason.Pod, reason.Preempted, "batch/urgent", "system:kube-scheduler")
	if of, got := infer(victim), infer(pod); of != want || got != want {
		t.Errorf("of the pod is inferred %+v, of its record %+v; want %+v", of, got, want)
	}
	if p := PreemptionOf(victim, want); p != nil {
		t.Errorf("of a preemptor that is certain is kept %+v, want nothing", p)
	}
	if p := PreemptionOf(victim, want.WithoutPreemptor()); p == nil || p.Supposed {
		t.Errorf("of a preemptor that is not known is kept %+v, want what it is found by", p)
	}
}
