package aftermath

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// The kernel panicked at minute 10, and the machine was up again at minute 12.
var (
	start = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)
	down  = outage{start.Add(10 * time.Minute), start.Add(12 * time.Minute)}
)

func minute(n int) metav1.Time { return metav1.NewTime(start.Add(time.Duration(n) * time.Minute)) }

func at(n int) *metav1.Time { return ptr.To(minute(n)) }

func TestLost(t *testing.T) {
	t.Parallel()
	running := v1alpha1.ContainerEnd{State: v1alpha1.Running, Started: at(1)}
	// As containerd reports a container whose process it no longer finds.
	cut := v1alpha1.ContainerEnd{State: v1alpha1.Exited, Started: at(1), Finished: at(13),
		Reason: "Unknown", ExitCode: ptr.To(int32(255))}
	done := v1alpha1.ContainerEnd{State: v1alpha1.Exited, Started: at(1), Finished: at(9),
		Reason: "Completed"}
	restarted := v1alpha1.ContainerEnd{State: v1alpha1.Running, Started: at(13), Restarts: 1}
	tests := map[string]struct {
		pod        v1alpha1.PodObituarySpec
		wantLost   bool
		wantFailed bool
	}{
		"evicted while the node was down": {
			pod: v1alpha1.PodObituarySpec{Removed: minute(13), DeletionRequested: at(11),
				Containers: []v1alpha1.ContainerEnd{running}}, wantLost: true},
		"gone while the node was down": {
			pod: v1alpha1.PodObituarySpec{Removed: minute(11),
				Containers: []v1alpha1.ContainerEnd{running}}, wantLost: true},
		"gone before it was heard of": {pod: v1alpha1.PodObituarySpec{Removed: minute(11)},
			wantLost: true},
		"created after the panic": {
			pod: v1alpha1.PodObituarySpec{Created: minute(11), Removed: minute(12),
				Containers: []v1alpha1.ContainerEnd{cut}}},
		"deletion asked for before": {
			pod: v1alpha1.PodObituarySpec{Removed: minute(11), DeletionRequested: at(9),
				Containers: []v1alpha1.ContainerEnd{running}}},
		"had ended before": {
			pod: v1alpha1.PodObituarySpec{Removed: minute(11),
				Phase: "Succeeded", Containers: []v1alpha1.ContainerEnd{done}}},
		"went on, and was deleted later": {
			pod: v1alpha1.PodObituarySpec{Removed: minute(30), DeletionRequested: at(29),
				Phase: "Running", Containers: []v1alpha1.ContainerEnd{restarted}}},
		"failed by the restart": {
			pod: v1alpha1.PodObituarySpec{Removed: minute(30),
				Phase: "Failed", Containers: []v1alpha1.ContainerEnd{done,
					cut}}, wantLost: true, wantFailed: true},
		"created and started in the second of the panic": {
			pod: v1alpha1.PodObituarySpec{Created: minute(10), Removed: minute(30),
				Phase: "Failed",
				Containers: []v1alpha1.ContainerEnd{{State: v1alpha1.Exited, Started: at(10),
					Finished: at(13), Reason: "Unknown"}}}, wantLost: true, wantFailed: true},
		"failed, and the kubelet lost it": {
			pod: v1alpha1.PodObituarySpec{Removed: minute(30),
				Phase:      "Failed",
				Containers: []v1alpha1.ContainerEnd{running}}, wantLost: true, wantFailed: true},
		"failed, with an end of no time": {
			pod: v1alpha1.PodObituarySpec{Removed: minute(30),
				Phase: "Failed",
				Containers: []v1alpha1.ContainerEnd{
					{State: v1alpha1.Exited,
						Reason: "ContainerStatusUnknown"}}}, wantLost: true, wantFailed: true},
		"failed by itself before": {
			pod: v1alpha1.PodObituarySpec{Removed: minute(30),
				Phase: "Failed", Containers: []v1alpha1.ContainerEnd{done}}},
		"failed by itself in the new boot": {
			pod: v1alpha1.PodObituarySpec{Removed: minute(30),
				Phase: "Failed",
				Containers: []v1alpha1.ContainerEnd{
					{State: v1alpha1.Exited, Started: at(13), Finished: at(20), Reason: "Error"}}}},
		"never started, and failed": {
			pod: v1alpha1.PodObituarySpec{Removed: minute(30),
				Phase:      "Failed",
				Containers: []v1alpha1.ContainerEnd{{State: v1alpha1.NeverStarted}}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.pod.Created.IsZero() {
				tc.pod.Created = minute(0)
			}
			if lost, failed := lostIn(down, &tc.pod),
				failedIn(down, &tc.pod); lost != tc.wantLost || failed != tc.wantFailed {
				t.Errorf("lost %v, failed %v; want %v and %v", lost, failed, tc.wantLost,
					tc.wantFailed)
			}
		})
	}
}

func TestLacksReason(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		code, text string
		want       bool
	}{
		"nobody said why": {code: "Unexplained",
			text: "Nobody said why this pod was deleted, and nothing could be inferred (deleted by eve)", want: true},
		"the node was silent": {code: "NodeUnreachable", want: true},
		"the node was gone": {code: "NodeDeleted",
			text: "This pod had to be terminated because its node was deleted (n1)", want: true},
		"somebody's words of the node": {code: "NodeDeleted",
			text: "This pod had to be terminated because its node was deleted (n1: rack moved)"},
		"somebody's words": {code: "UserRequest", text: "no longer needed"},
		"another cause":    {code: "HardwareFailure"},
		"no code of ours":  {code: "Custom"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := lacksReason(&v1alpha1.PodObituarySpec{NodeName: "n1", Code: tc.code,
				Reason: tc.text}); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}
