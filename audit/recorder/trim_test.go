package recorder

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var reads = reason.Inferrer{Keys: reason.DefaultKeys()}.ReadsOfPods()

var recordedLabels = map[string]bool{"team": true}

// whole is a pod with much that no obituary needs.
func whole() *corev1.Pod {
	long := strings.Repeat("x", 200_000)
	keys := reason.DefaultKeys().Pod
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: "p", UID: "8f6f7c1e-4f0a-4a52-9a3e-0d3d5a1b2c3d",
			CreationTimestamp:          metav1.NewTime(noon),
			DeletionTimestamp:          ptr.To(metav1.NewTime(noon)),
			DeletionGracePeriodSeconds: ptr.To(int64(30)),
			Labels:                     map[string]string{"team": "a", "secret": "b"},
			Annotations: map[string]string{"example.com/huge": long,
				keys.Code: "Evicted", keys.By: long, keys.Reason: "moved"},
			OwnerReferences: []metav1.OwnerReference{
				{Kind: "Other", Name: long}, {APIVersion: "batch/v1", Kind: "Job", Name: "train",
					UID: "j", Controller: ptr.To(true)},
			},
			ManagedFields: []metav1.ManagedFieldsEntry{{FieldsV1: metav1.NewFieldsV1(long)}},
		},
		Spec: corev1.PodSpec{NodeName: "n1",
			Overhead: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
			InitContainers: []corev1.Container{{Name: "init", Image: long,
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceMemory: resource.MustParse("3Gi")}}}},
			Containers: []corev1.Container{{Name: "main", Image: long,
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{
						corev1.ResourceCPU:    resource.MustParse("500m"),
						corev1.ResourceMemory: resource.MustParse("2Gi")},
					Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}}}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodFailed, Reason: "Evicted", Message: long,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Message: long},
				{Type: corev1.DisruptionTarget, Reason: "EvictionByEvictionAPI", Message: long}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "main", Image: long, RestartCount: 3,
				State: corev1.ContainerState{
					Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: long}},
			}},
		},
	}
}

func TestTrimmedPodHasTheSameObituary(t *testing.T) {
	t.Parallel()
	r := reason.New(reason.Pod, reason.Evicted, "x", "y")
	trimmed := trim(whole(), reads, recordedLabels)
	o := obituary.Of(trimmed, r, noon)
	if diff := cmp.Diff(obituary.Of(whole(), r, noon), o); diff != "" {
		t.Errorf("of the whole pod - of the trimmed one +\n%s", diff)
	}
	if want := map[string]v1alpha1.Amount{"cpu": "600m", "memory": "3Gi"}; !maps.Equal(want,
		o.Spec.Requests) || o.Spec.Limits["nvidia.com/gpu"] != "8" {
		t.Errorf("it had asked for %v, and was allowed %v", o.Spec.Requests, o.Spec.Limits)
	}
	if want := map[string]string{"team": "a"}; !maps.Equal(want, trimmed.Labels) {
		t.Errorf("its labels are %v, want %v", trimmed.Labels, want)
	}
	infer := reason.Inferrer{Keys: reason.DefaultKeys()}
	want, _ := infer.Infer(reason.Facts{Now: noon, Pod: whole()})
	if got, ok := infer.Infer(reason.Facts{Now: noon, Pod: trimmed}); !ok || got != want {
		t.Errorf("the trimmed pod says %+v, want %+v", got, want)
	}
}

func TestTrimmedPodIsSmall(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(trim(whole(), reads, recordedLabels))
	if err != nil {
		t.Fatal(err)
	}
	if const10KiB := 10 << 10; len(data) > const10KiB {
		t.Errorf("it has %d bytes, want at most %d", len(data), const10KiB)
	}
}

func TestTrimLeavesThePodAlone(t *testing.T) {
	t.Parallel()
	pod := whole()
	trim(pod, reads, recordedLabels)
	if diff := cmp.Diff(whole(), pod); diff != "" {
		t.Errorf("trimming changed the pod:\n%s", diff)
	}
}

// Whether a refused pod had run follows from when its kubelet wrote what.
func TestTrimmedPodIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", ManagedFields: []metav1.ManagedFieldsEntry{{
			Manager: "kubelet", Subresource: "status", Time: ptr.To(metav1.NewTime(noon)),
			FieldsV1: metav1.NewFieldsV1("{}"),
		}}},
		Status: corev1.PodStatus{Phase: corev1.PodFailed,
			Reason: "OutOfcpu", Message: "Pod was rejected: no",
			StartTime: ptr.To(metav1.NewTime(noon))},
	}
	if trimmed := trim(pod, reads, recordedLabels); !obituary.RefusedAtOnce(trimmed) ||
		trimmed.ManagedFields[0].FieldsV1 != nil {
		t.Errorf("%+v", trimmed)
	}
}
