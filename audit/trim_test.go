package audit

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// dyingPod is a pod of about the size that real ones have.
func dyingPod(n int) *corev1.Pod {
	env := []corev1.EnvVar{}
	for i := range 20 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", i), Value: strings.Repeat("v", 40)})
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("worker-%d-x7k2p", n), Namespace: "team-" + fmt.Sprint(n%20), UID: types.UID(fmt.Sprintf("8f6f7c1e-4f0a-4a52-9a3e-%012d", n)),
			ResourceVersion: "123456789", Generation: 2, CreationTimestamp: metav1.NewTime(noon),
			Labels:          map[string]string{"app": "worker", "pod-template-hash": "6c54bd5869"},
			Annotations:     map[string]string{"example.com/checksum": strings.Repeat("a", 64)},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "worker", UID: "1", Controller: ptr.To(true)}},
			ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1(strings.Repeat("f", 1500))}},
		},
		Spec: corev1.PodSpec{
			NodeName: "ip-10-0-0-" + fmt.Sprint(n/30), Priority: ptr.To(int32(5)), TerminationGracePeriodSeconds: ptr.To(int64(30)),
			Containers: []corev1.Container{{Name: "main", Image: "registry.example/worker:1", Env: env}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.1.2.3",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}, {Type: corev1.PodScheduled, Status: corev1.ConditionTrue}},
		},
	}
}

func TestTrimmedPodTellsTheSame(t *testing.T) {
	t.Parallel()
	keys := reason.DefaultKeys()
	inferrer := reason.Inferrer{Keys: keys, Signals: reason.DefaultSignals()}
	disrupted := func(why string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.DeletionTimestamp = ptr.To(metav1.NewTime(noon))
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: why, LastTransitionTime: metav1.NewTime(noon),
			})
		}
	}
	tests := map[string]struct {
		change func(*corev1.Pod)
		actor  reason.Actor
		want   reason.Code
	}{
		"its own reason":             {func(p *corev1.Pod) { p.Annotations[keys.Pod.Reason] = "enough" }, reason.PodGC, reason.UserRequest},
		"an eviction":                {disrupted("EvictionByEvictionAPI"), reason.ServiceAccount, reason.Evicted},
		"a preemption":               {disrupted("PreemptionByScheduler"), reason.Scheduler, reason.Preempted},
		"the kubelet's own eviction": {func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted" }, reason.PodGC, reason.NodePressure},
		"its owner's Job":            {func(*corev1.Pod) {}, reason.JobController, reason.JobFinished},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := dyingPod(1)
			tc.change(whole)
			trimmed, err := TrimPods(keys)(whole.DeepCopy())
			if err != nil {
				t.Fatal(err)
			}
			infer := func(p *corev1.Pod) reason.Reason {
				r, _ := inferrer.Infer(reason.Facts{Now: noon, Pod: p, Remover: reason.Remover{User: "x", Actor: tc.actor}})
				return r
			}
			got, want := infer(trimmed.(*corev1.Pod)), infer(whole)
			if diff := cmp.Diff(want, got); diff != "" || got.Code != tc.want {
				t.Errorf("code %s, want %s; trimmed against whole:\n%s", got.Code, tc.want, diff)
			}
		})
	}
}

func TestTrimmedNodeTellsTheSame(t *testing.T) {
	t.Parallel()
	keys := reason.DefaultKeys()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u", Annotations: map[string]string{
			"example.com/other": "x", reason.EvidenceKey: `[{"what":"halt","who":"bob","when":"2026-11-23T12:00:00Z","bootID":"b"}]`,
		}},
		Status: corev1.NodeStatus{
			NodeInfo: corev1.NodeSystemInfo{BootID: "b", KernelVersion: "6.1"}, Images: []corev1.ContainerImage{{Names: []string{"large"}}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}},
		},
	}
	o, err := TrimNodes(keys)(node.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	trimmed := o.(*corev1.Node)
	got, _ := reason.Inferrer{Keys: keys}.Infer(reason.Facts{Now: noon, Node: trimmed, Remover: reason.Remover{User: "x", Actor: reason.NodeController}})
	if want := (reason.Reason{Code: reason.NodeHalted, Text: "This node went away because bob ran sudo halt on it", By: "bob"}); got != want {
		t.Errorf("the trimmed node says %+v, want %+v", got, want)
	}
	if len(trimmed.Status.Images) != 0 || trimmed.Annotations["example.com/other"] != "" {
		t.Errorf("kept what nobody reads: %d images, annotations %q", len(trimmed.Status.Images), trimmed.Annotations)
	}
}

// BenchmarkCachedPods reports the heap that a cache needs for a thousand pods, whole and trimmed.
func BenchmarkCachedPods(b *testing.B) {
	whole := func(o any) (any, error) { return o, nil }
	for name, transform := range map[string]func(any) (any, error){"whole": whole, "trimmed": TrimPods(reason.DefaultKeys())} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(heapOfThousand(b, transform))/1024, "KiB/1000pods")
			}
		})
	}
}

func heapOfThousand(b *testing.B, transform func(any) (any, error)) uint64 {
	b.Helper()
	const pods = 10_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := make([]any, 0, pods)
	for n := range pods {
		data, err := dyingPod(n).Marshal()
		if err != nil {
			b.Fatal(err)
		}
		decoded := &corev1.Pod{}
		if err := decoded.Unmarshal(data); err != nil {
			b.Fatal(err)
		}
		o, err := transform(decoded)
		if err != nil {
			b.Fatal(err)
		}
		kept = append(kept, o)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return (after.HeapAlloc - before.HeapAlloc) / (pods / 1000)
}
