package toll

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

func TestOf(t *testing.T) {
	t.Parallel()
	gone := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	began := metav1.NewTime(gone.Add(-10 * time.Hour))
	pod := func(name string, gpus v1alpha1.Amount, owners ...v1alpha1.Owner) Pod {
		return PodOf(&v1alpha1.PodObituary{ObjectMeta: metav1.ObjectMeta{Namespace: "ml"},
			Spec: v1alpha1.PodObituarySpec{PodName: name, NodeName: "n1", Began: &began,
				Removed: metav1.NewTime(gone), Owners: owners,
				Requests: map[string]v1alpha1.Amount{"nvidia.com/gpu": gpus}}})
	}
	set := []v1alpha1.Owner{{Kind: "Job", Name: "train-0"}, {Kind: "JobSet", Name: "train"}}
	unknown := pod("train", "8") // by the name of an owner, and none of its
	unknown.Known = false
	want := All{Toll: Toll{Pods: 4, PodHours: 30, GPUHours: 160, Unknown: 1}, Owners: []Owner{
		{"ml", "JobSet", "train", Toll{2, 20, 160, 0}},
		{"ml", "", "bare", Toll{1, 10, 0, 0}},
		{"ml", "", "train", Toll{1, 0, 0, 1}},
	}}
	got := Of([]Pod{unknown, pod("a", "8", set...), pod("bare", "0"), pod("b", "8", set...)})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Owners[0].Text() != "JobSet/train" || got.Owners[1].Text() != "Pod/bare" {
		t.Errorf("they are %s and %s", got.Owners[0].Text(), got.Owners[1].Text())
	}
}
