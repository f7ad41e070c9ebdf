package reason

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestHeldReasonIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	keys := DefaultKeys().Pod
	r := New(Pod, HardwareFailure, "sda", "ops")
	pod := &corev1.Pod{}
	pod.Status.Conditions = []corev1.PodCondition{Held(r, time.Unix(0, 0))}
	if got, ok := HeldOn(pod); !ok || got != r {
		t.Errorf("held %+v, %t, want %+v", got, ok, r)
	}
	if got, err := keys.OnPod(pod); err != nil || got != r {
		t.Errorf("on the pod is %+v, %v, want %+v", got, err, r)
	}
	supposed := New(Pod, Preempted, "batch/urgent", "system:kube-scheduler")
	supposed.Supposed = true
	doubtful := &corev1.Pod{Status: corev1.PodStatus{
		Conditions: []corev1.PodCondition{Held(supposed, time.Unix(0, 0))}}}
	if got, ok := HeldOn(doubtful); !ok || got != supposed {
		t.Errorf("held %+v, %t, want %+v", got, ok, supposed)
	}
	pod.Annotations = map[string]string{keys.Reason: "my own words"}
	if got, err := keys.OnPod(pod); err != nil || got != (Reason{Text: "my own words"}) {
		t.Errorf("on the pod is %+v, %v, want the annotation alone", got, err)
	}
	pod.Annotations = map[string]string{keys.Reason: string(r.Text)}
	if got, err := keys.OnPod(pod); err != nil || got != r {
		t.Errorf("on the pod is %+v, %v, want the annotation completed", got, err)
	}
}

func TestHeldReasonIsBounded(t *testing.T) {
	t.Parallel()
	for _, message := range []string{"", "\nops", strings.Repeat("x", MaxTextBytes+1),
		"a\x1b[31m"} {
		pod := &corev1.Pod{}
		pod.Status.Conditions = []corev1.PodCondition{
			{Type: HeldIn, Status: corev1.ConditionTrue, Message: message}}
		if got, ok := HeldOn(pod); ok {
			t.Errorf("%q is read as %+v, want none", message, got)
		}
	}
}

// A living pod may hold the reason of a deletion that was called off.
func TestHeldReasonSpeaksForAPodThatGoes(t *testing.T) {
	t.Parallel()
	r := New(Pod, HardwareFailure, "sda", "ops")
	infer := Inferrer{Keys: DefaultKeys()}
	pod := &corev1.Pod{}
	pod.Status.Conditions = []corev1.PodCondition{Held(r, time.Unix(0, 0))}
	if got, ok := infer.Infer(Facts{Pod: pod}); ok {
		t.Errorf("inferred %+v of a pod that lives, want nothing", got)
	}
	pod.DeletionTimestamp = &pod.Status.Conditions[0].LastTransitionTime
	if got, ok := infer.Infer(Facts{Pod: pod}); !ok || got != r {
		t.Errorf("inferred %+v, %t, want %+v", got, ok, r)
	}
}
