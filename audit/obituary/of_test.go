package obituary

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(d)) }

// worker is a pod of a Job: its init container has finished, its main one runs, and its helper
// never started.
func worker(change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "batch", Name: "train-x7k2p", UID: "8f6f7c1e-4f0a-4a52-9a3e-0d3d5a1b2c3d",
			CreationTimestamp: at(-time.Hour),
			OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "batch/v1", Kind: "Job", Name: "train", UID: "j",
					Controller: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{NodeName: "n1"},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning,
			InitContainerStatuses: []corev1.ContainerStatus{
				{Name: "fetch", State: corev1.ContainerState{
					Terminated: &corev1.ContainerStateTerminated{Reason: "Completed",
						StartedAt: at(-50 * time.Minute), FinishedAt: at(-49 * time.Minute)},
				}}},
			ContainerStatuses: []corev1.ContainerStatus{
				{Name: "main", RestartCount: 2,
					State: corev1.ContainerState{
						Running: &corev1.ContainerStateRunning{StartedAt: at(-48 * time.Minute)}}},
				{Name: "helper",
					State: corev1.ContainerState{
						Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}},
			},
		},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func TestObituaryHoldsHowFarThePodHadCome(t *testing.T) {
	t.Parallel()
	pod := worker(func(p *corev1.Pod) {
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = ptr.To(at(30*time.Second)),
			ptr.To(int64(30))
	})
	want := &v1alpha1.PodObituary{
		ObjectMeta: metav1.ObjectMeta{Namespace: "batch", Name: "train-x7k2p-8f6f7c1e4f0a"},
		Spec: v1alpha1.PodObituarySpec{
			PodName: "train-x7k2p", PodUID: "8f6f7c1e-4f0a-4a52-9a3e-0d3d5a1b2c3d", NodeName: "n1",
			Owners: []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job", Name: "train",
				UID: "j"}},
			Code: "HardwareFailure", Class: "disruption", By: "ops",
			Reason: "This pod had to be terminated because the underlying hardware failed (disk sda)",
			Phase:  "Running", Created: at(-time.Hour), DeletionRequested: ptr.To(at(0)),
			Removed: at(2 * time.Second),
			Containers: []v1alpha1.ContainerEnd{
				{Name: "fetch", Init: true, State: v1alpha1.Exited, ExitCode: ptr.To(int32(0)),
					Reason: "Completed", Started: ptr.To(at(-50 * time.Minute)),
					Finished: ptr.To(at(-49 * time.Minute))},
				{Name: "main", State: v1alpha1.Running, Started: ptr.To(at(-48 * time.Minute)),
					Restarts: 2},
				{Name: "helper", State: v1alpha1.NeverStarted, Reason: "ImagePullBackOff"},
			},
		},
	}
	got := Of(pod, reason.New(reason.Pod, reason.HardwareFailure, "disk sda", "ops"),
		noon.Add(2500*time.Millisecond))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("obituary (-want +got):\n%s", diff)
	}
}

func TestCodeOfWhatWasSaid(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		said        reason.Reason
		code, class string
	}{
		"nothing": {reason.Reason{}, "Unexplained", "unexplained"},
		"words without a code": {reason.Reason{Text: "frees the licence"},
			"UserRequest", "routine"},
		"a disruption": {reason.New(reason.Pod, reason.Preempted, "x", ""),
			"Preempted", "disruption"},
		"a code that somebody invented": {reason.Reason{Code: "Gremlins\x1b[2J", Text: "x"},
			`Gremlins\x1b[2J`, "unexplained"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if o := Of(worker(), tc.said, noon); o.Spec.Code != tc.code ||
				o.Spec.Class != tc.class {
				t.Errorf("filed under %q (%s), want %q (%s)", o.Spec.Code, o.Spec.Class, tc.code,
					tc.class)
			}
		})
	}
}

func TestHowAContainerEnded(t *testing.T) {
	t.Parallel()
	exited := &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}
	tests := map[string]struct {
		status corev1.ContainerStatus
		want   v1alpha1.ContainerEnd
	}{
		"it waits to be started again": {
			corev1.ContainerStatus{
				State: corev1.ContainerState{
					Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
				LastTerminationState: corev1.ContainerState{Terminated: exited}, RestartCount: 7,
			},
			v1alpha1.ContainerEnd{State: v1alpha1.Exited, ExitCode: ptr.To(int32(3)),
				Reason: "CrashLoopBackOff", Restarts: 7},
		},
		"it runs again after it had ended": {
			corev1.ContainerStatus{
				State: corev1.ContainerState{
					Running: &corev1.ContainerStateRunning{StartedAt: at(0)}},
				LastTerminationState: corev1.ContainerState{Terminated: exited}, RestartCount: 1,
			},
			v1alpha1.ContainerEnd{State: v1alpha1.Running, Started: ptr.To(at(0)), Restarts: 1},
		},
		"the kubelet lost sight of it while it ran": {
			corev1.ContainerStatus{State: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{
					ExitCode: 137, Reason: "ContainerStatusUnknown",
					Message: "The container could not be located when the pod was deleted.  The container used to be Running",
				}}},
			v1alpha1.ContainerEnd{State: v1alpha1.Running, Reason: "ContainerStatusUnknown"},
		},
		"containerd found it without a process": {
			corev1.ContainerStatus{State: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{ExitCode: 255,
					Reason: "Unknown", FinishedAt: at(0)}}},
			v1alpha1.ContainerEnd{State: v1alpha1.Running, Reason: "Unknown"},
		},
		"nothing is said": {corev1.ContainerStatus{},
			v1alpha1.ContainerEnd{State: v1alpha1.NeverStarted}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, end(tc.status, false)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestNoMoreContainersThanFit(t *testing.T) {
	t.Parallel()
	o := Of(
		worker(func(p *corev1.Pod) {
			p.Status.ContainerStatuses = make([]corev1.ContainerStatus, 100)
		}), reason.Reason{}, noon)
	if len(o.Spec.Containers) != 64 || o.Spec.ContainersOmitted != 37 ||
		!o.Spec.Containers[0].Init {
		t.Errorf("%d containers, %d omitted, the first init: %t", len(o.Spec.Containers),
			o.Spec.ContainersOmitted, o.Spec.Containers[0].Init)
	}
}

func TestWhoEndedByItself(t *testing.T) {
	t.Parallel()
	ended := func(after time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodSucceeded
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{FinishedAt: at(after)},
			}}}
		}
	}
	deleted := func(p *corev1.Pod) {
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = ptr.To(at(30*time.Second)),
			ptr.To(int64(30))
	}
	tests := map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"it runs":                              {worker(deleted), false},
		"it was through before":                {worker(ended(-time.Second), deleted), true},
		"it was through and vanished at once":  {worker(ended(-time.Second)), true},
		"it ended because it was told to stop": {worker(ended(2*time.Second), deleted), false},
		"it ended at about that time":          {worker(ended(0), deleted), false},
		"one of its containers still ran": {
			worker(deleted, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := EndedByItself(tc.pod); got != tc.want {
				t.Errorf("ended by itself %t, want %t", got, tc.want)
			}
		})
	}
}

func TestNamesakesHaveObituariesOfTheirOwn(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a.", 126) + "b"
	if a, b := Name(long, "8f6f7c1e-4f0a-4a52"), Name(long, "8f6f7c1e-4f0b-4a52"); a == b {
		t.Errorf("two objects of one name share the obituary %s", a)
	}
}
