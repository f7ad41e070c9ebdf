package podcache

import (
	"fmt"
	"slices"
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

var noon = metav1.Unix(1795435200, 0)

// kept are the labels, annotations and condition types that are read.
type kept []string

func (k kept) Label(key string) bool                 { return slices.Contains(k, key) }
func (k kept) Annotation(key string) bool            { return slices.Contains(k, key) }
func (k kept) Condition(c *corev1.PodCondition) bool { return slices.Contains(k, string(c.Type)) }

func (kept) Devices(all []corev1.ResourceStatus) []corev1.ResourceStatus { return all }

// wholePod returns a pod about as large as real ones.
func wholePod(n int) *corev1.Pod {
	env := []corev1.EnvVar{}
	for i := range 20 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", i),
			Value: strings.Repeat("v", 40)})
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("worker-%d-x7k2p", n), Namespace: "team-" + fmt.Sprint(n%20),
			UID:             types.UID(fmt.Sprintf("8f6f7c1e-4f0a-4a52-9a3e-%012d", n)),
			ResourceVersion: "123456789", Generation: 2, CreationTimestamp: noon,
			Labels:      map[string]string{"app": "worker", "pod-template-hash": "6c54bd5869"},
			Annotations: map[string]string{"example.com/checksum": strings.Repeat("a", 64)},
			OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "batch/v1", Kind: "Job", Name: "worker", UID: "1",
					Controller: ptr.To(true)}},
			ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1(strings.Repeat("f", 1500))}},
		},
		Spec: corev1.PodSpec{
			NodeName: "ip-10-0-0-" + fmt.Sprint(n/30), Priority: ptr.To(int32(5)),
			TerminationGracePeriodSeconds: ptr.To(int64(30)),
			Containers: []corev1.Container{{Name: "main", Image: "registry.example/worker:1",
				Env: env}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.1.2.3",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue},
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}},
		},
	}
}

// keptPod is what must be kept of wholePod(1).
func keptPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "worker-1-x7k2p", Namespace: "team-1",
			UID:             "8f6f7c1e-4f0a-4a52-9a3e-000000000001",
			ResourceVersion: "123456789", Generation: 2, CreationTimestamp: noon,
			OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "batch/v1", Kind: "Job", Name: "worker", UID: "1",
					Controller: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{NodeName: "ip-10-0-0-0", Priority: ptr.To(int32(5)),
			TerminationGracePeriodSeconds: ptr.To(int64(30))},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

func TestPodComesOutAsItWentIn(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*corev1.Pod){
		"a common one": func(*corev1.Pod) {},
		"its kind is known": func(p *corev1.Pod) {
			p.TypeMeta = metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}
		},
		"nothing of it is known": func(p *corev1.Pod) { *p = corev1.Pod{} },
		"a UID that is no UUID":  func(p *corev1.Pod) { p.UID = "u1" },
		"a UUID in capitals": func(p *corev1.Pod) {
			p.UID = "8F6F7C1E-4F0A-4A52-9A3E-000000000001"
		},
		"a UUID with a stray dash": func(p *corev1.Pod) {
			p.UID = "8f6f7c1e-4f0a-4a52-9a3e0-00000000001"
		},
		"the UUID of zeros": func(p *corev1.Pod) {
			p.UID = "00000000-0000-0000-0000-000000000000"
		},
		"a long UID":               func(p *corev1.Pod) { p.UID += "0" },
		"a version with a zero":    func(p *corev1.Pod) { p.ResourceVersion = "0123" },
		"the version 0":            func(p *corev1.Pod) { p.ResourceVersion = "0" },
		"a version that is a word": func(p *corev1.Pod) { p.ResourceVersion = "x1" },
		"no owner":                 func(p *corev1.Pod) { p.OwnerReferences = nil },
		"two owners": func(p *corev1.Pod) {
			p.OwnerReferences = append(p.OwnerReferences,
				metav1.OwnerReference{Name: "second", BlockOwnerDeletion: ptr.To(false)})
		},
		"an owner that does not control": func(p *corev1.Pod) {
			p.OwnerReferences[0].Controller = ptr.To(false)
		},
		"annotations that are kept": func(p *corev1.Pod) {
			p.Annotations = map[string]string{"kept": "because"}
		},
		"labels that are kept": func(p *corev1.Pod) {
			p.Labels = map[string]string{"kept": "because"}
		},
		"it may stay for ever": func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{
				{Key: "gpu", Operator: corev1.TolerationOpExists},
				{Key: "a", Value: "b", Effect: corev1.TaintEffectNoExecute}}
		},
		"it terminates": func(p *corev1.Pod) {
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds, p.Finalizers = ptr.To(noon),
				ptr.To(int64(0)), []string{"batch.kubernetes.io/job-tracking"}
		},
		"it was preempted": func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{
				{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
					Reason: "PreemptionByScheduler", Message: "m", LastTransitionTime: noon},
				{Type: "TerminationTarget", Status: corev1.ConditionTrue, Reason: "Preempted"},
			}
		},
		"the kubelet evicted it": func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted",
				"The node was low on memory"
		},
		"it waits for a node": func(p *corev1.Pod) {
			p.Spec.NodeName, p.Status.NominatedNodeName, p.Spec.PreemptionPolicy = "", "n1",
				ptr.To(corev1.PreemptNever)
			p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}}
			p.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: ptr.To("group")}
		},
		"it wants a node": func(p *corev1.Pod) {
			p.Spec.NodeName, p.Spec.SchedulerName, p.Spec.NodeSelector = "", "default-scheduler",
				map[string]string{"pool": "gpu", "disk": ""}
			p.Spec.Tolerations = []corev1.Toleration{
				{Key: "gpu", Operator: corev1.TolerationOpExists,
					TolerationSeconds: ptr.To(int64(300))}}
			p.Spec.Affinity = &corev1.Affinity{
				NodeAffinity: &corev1.NodeAffinity{
					RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
						NodeSelectorTerms: []corev1.NodeSelectorTerm{{
							MatchExpressions: []corev1.NodeSelectorRequirement{
								{Key: "zone", Operator: corev1.NodeSelectorOpIn,
									Values: []string{"a", "b"}}},
							MatchFields: []corev1.NodeSelectorRequirement{
								{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn,
									Values: []string{"n1"}}},
						}},
					}}}
		},
		"neither priority nor grace": func(p *corev1.Pod) {
			p.Spec.Priority,
				p.Spec.TerminationGracePeriodSeconds = nil, nil
		},
		"priority and grace of zero": func(p *corev1.Pod) {
			p.Spec.Priority, p.Spec.TerminationGracePeriodSeconds = ptr.To(int32(0)),
				ptr.To(int64(0))
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole, want := wholePod(1), keptPod()
			change(whole)
			change(want)
			r := compact(whole, kept{"kept", "DisruptionTarget", "TerminationTarget"})
			if diff := cmp.Diff(want, r.expand()); diff != "" {
				t.Error(diff)
			}
			meta := r.GetObjectMeta()
			if got, want := [...]string{meta.GetNamespace(), meta.GetName(), string(meta.GetUID()),
				meta.GetResourceVersion()},
				[...]string{want.Namespace, want.Name, string(want.UID),
					want.ResourceVersion}; got != want {
				t.Errorf("the informer knows it as %q, want %q", got, want)
			}
		})
	}
}

// Only what decides where a pod can run is kept, and nothing of that for a pod that has a node:
// most have.
func TestWishIsKeptOfWhatWaits(t *testing.T) {
	t.Parallel()
	whole := wholePod(1)
	whole.Spec.NodeSelector, whole.Spec.SchedulerName = map[string]string{"pool": "gpu"},
		"default-scheduler"
	whole.Spec.Tolerations = []corev1.Toleration{
		{Key: "gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
	whole.Spec.Affinity = &corev1.Affinity{
		NodeAffinity: &corev1.NodeAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
				{Weight: 1}}},
		PodAffinity: &corev1.PodAffinity{},
	}
	if diff := cmp.Diff(keptPod(), compact(whole, kept{}).expand()); diff != "" {
		t.Errorf("of a pod that is bound:\n%s", diff)
	}
	whole.Spec.NodeName = ""
	want := keptPod()
	want.Spec.NodeName, want.Spec.SchedulerName, want.Spec.NodeSelector = "", "default-scheduler",
		whole.Spec.NodeSelector
	want.Spec.Tolerations = whole.Spec.Tolerations
	if diff := cmp.Diff(want, compact(whole, kept{}).expand()); diff != "" {
		t.Errorf("of a pod that waits:\n%s", diff)
	}
}

func TestReaderMayChangeWhatHeGets(t *testing.T) {
	t.Parallel()
	whole := wholePod(1)
	whole.Annotations["kept"] = "because"
	whole.Finalizers = []string{"f"}
	r := compact(whole, kept{"kept", "DisruptionTarget", "TerminationTarget"})
	taken := r.expand()
	taken.Annotations["kept"], taken.Finalizers[0] = "changed", "changed"
	*taken.Spec.Priority, *taken.OwnerReferences[0].Controller = 7, false
	want := keptPod()
	want.Annotations, want.Finalizers = map[string]string{"kept": "because"}, []string{"f"}
	if diff := cmp.Diff(want, r.expand()); diff != "" {
		t.Error(diff)
	}
}

func TestKeptPodTellsTheSame(t *testing.T) {
	t.Parallel()
	keys := reason.DefaultKeys()
	inferrer := reason.Inferrer{Keys: keys, Signals: reason.DefaultSignals()}
	disrupted := func(why string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.DeletionTimestamp = ptr.To(noon)
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: why,
				LastTransitionTime: noon,
			})
		}
	}
	tests := map[string]struct {
		change func(*corev1.Pod)
		actor  reason.Actor
		want   reason.Code
	}{
		"its own reason": {func(p *corev1.Pod) {
			p.Annotations[keys.Pod.Reason] = "enough"
		}, reason.PodGC, reason.UserRequest},
		"an eviction": {disrupted("EvictionByEvictionAPI"), reason.ServiceAccount,
			reason.Evicted},
		"a preemption": {disrupted("PreemptionByScheduler"), reason.Scheduler,
			reason.Preempted},
		"the kubelet's own eviction": {func(p *corev1.Pod) {
			p.Status.Phase,
				p.Status.Reason = corev1.PodFailed, "Evicted"
		}, reason.PodGC, reason.NodePressure},
		"Volcano's victim": {func(p *corev1.Pod) {
			p.DeletionTimestamp = ptr.To(noon)
			p.Status.Conditions[0] = corev1.PodCondition{
				Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "Evict",
				Message: "Pod is evicted, because of preempt", LastTransitionTime: noon,
			}
		}, reason.PodGC, reason.Preempted},
		"Koordinator's victim": {func(p *corev1.Pod) {
			p.DeletionTimestamp = ptr.To(noon)
			p.Annotations["scheduling.koordinator.sh/soft-eviction"] =
				`{"initiator":"descheduler","reason":"node is hot"}`
		}, reason.PodGC, reason.Evicted},
		"its owner's Job": {func(*corev1.Pod) {}, reason.JobController, reason.RemovedByOwner},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := wholePod(1)
			tc.change(whole)
			infer := func(p *corev1.Pod) reason.Reason {
				r, _ := inferrer.Infer(reason.Facts{Now: noon.Add(time.Second), Pod: p,
					Remover: reason.Remover{User: "x", Actor: tc.actor}})
				return r
			}
			got, want := infer(compact(whole, inferrer.ReadsOfPods()).expand()), infer(whole)
			if diff := cmp.Diff(want, got); diff != "" || got.Code != tc.want {
				t.Errorf("code %s, want %s; kept against whole:\n%s", got.Code, tc.want, diff)
			}
		})
	}
}
