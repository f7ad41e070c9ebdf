package lookup

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

var (
	start = metav1.NewTime(time.Date(2026, 5, 1, 11, 0, 0, 0, time.UTC))
	stop  = metav1.NewTime(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
)

func TestLiving(t *testing.T) {
	t.Parallel()
	ended := &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error", StartedAt: start, FinishedAt: stop}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "batch", Name: "p", UID: "p1", CreationTimestamp: start,
			DeletionTimestamp: &metav1.Time{Time: stop.Add(30 * time.Second)}, DeletionGracePeriodSeconds: ptr.To(int64(30)),
			Annotations:     reason.DefaultKeys().Pod.Annotations(reason.Reason{Code: reason.UserRequest, Text: "done", By: "alice"}),
			OwnerReferences: []metav1.OwnerReference{{Kind: "Owner", Name: "no-controller"}, {Kind: "Job", Name: "j", UID: "j1", Controller: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{NodeName: "n1"},
		Status: corev1.PodStatus{
			Phase:                 corev1.PodRunning,
			InitContainerStatuses: []corev1.ContainerStatus{{Name: "fetch", State: corev1.ContainerState{Terminated: ended}}},
			ContainerStatuses: []corev1.ContainerStatus{
				{Name: "runs", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: start}}},
				{Name: "waits", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}},
				{Name: "crashes", RestartCount: 3, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}, LastTerminationState: corev1.ContainerState{Terminated: ended}},
			},
		},
	}
	want := v1alpha1.PodObituarySpec{
		PodName: "p", PodUID: "p1", NodeName: "n1", Owners: []v1alpha1.Owner{{Kind: "Job", Name: "j", UID: "j1"}},
		Code: "UserRequest", Class: "routine", Reason: "done", By: "alice", Phase: "Running", Created: start, Condemned: &stop,
		Containers: []v1alpha1.ContainerEnd{
			{Name: "fetch", Init: true, State: v1alpha1.Exited, ExitCode: ptr.To(int32(2)), Why: "Error", Started: &start, Finished: &stop},
			{Name: "runs", State: v1alpha1.Running, Started: &start},
			{Name: "waits", State: v1alpha1.NeverStarted, Why: "ImagePullBackOff"},
			{Name: "crashes", State: v1alpha1.Exited, ExitCode: ptr.To(int32(2)), Why: "Error", Started: &start, Finished: &stop, Restarts: 3},
		},
	}
	if diff := cmp.Diff(want, Living(pod, reason.DefaultKeys().Pod).Spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLivingSaysNothingOfAPodWithoutAReason(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "batch", Name: "p"}}
	if s := Living(pod, reason.DefaultKeys().Pod).Spec; s.Code != "" || s.Class != "" || s.Condemned != nil {
		t.Errorf("it says %+v", s)
	}
}
