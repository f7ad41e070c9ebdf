package aftermath

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

var left = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// anAnsweredRecord is of a Node that left for r, and of which a cloud said that.
func anAnsweredRecord(r reason.Reason, said v1alpha1.CloudAnswer,
	heard ...v1alpha1.Evidence) *v1alpha1.NodeObituary {
	o := &v1alpha1.NodeObituary{}
	o.Name, o.CreationTimestamp = "n-1", metav1.NewTime(left)
	o.Spec = v1alpha1.NodeObituarySpec{NodeName: "n", Removed: metav1.NewTime(left),
		Code: string(r.Code), Reason: string(r.Text), By: r.By, Evidence: heard}
	said.Cloud = "aws"
	o.Status.Cloud = &said
	return o
}

func TestAnswerExplains(t *testing.T) {
	t.Parallel()
	gone := reason.New(reason.Node, reason.CloudInstanceGone, "n", "ccm")
	panicked := []string{"[  812.104501] Kernel panic - not syncing: Fatal exception"}
	spot := v1alpha1.CloudAnswer{What: reason.EvidenceSpot, Detail: "Server.SpotInstanceTermination"}
	amended := anAnsweredRecord(reason.New(reason.Node, reason.HardwareFailure, "hostError", "gcp"), spot)
	amended.Spec.Amended = &v1alpha1.Amendment{From: "aws api", Was: "CloudInstanceGone"}
	elsewhere := amended.DeepCopy()
	elsewhere.Spec.Amended.From = "kdump"
	announced := v1alpha1.Evidence{What: reason.EvidenceScaleIn, Who: "Amazon EC2", Detail: "its group"}
	tests := map[string]struct {
		record *v1alpha1.NodeObituary
		want   string
	}{
		"spot": {anAnsweredRecord(gone, spot),
			"The cloud took the spot instance of this node back (Server.SpotInstanceTermination)"},
		"the cloud does not know": {record: anAnsweredRecord(gone, v1alpha1.CloudAnswer{})},
		"its console ends with a panic, then somebody terminated it": {
			anAnsweredRecord(gone, v1alpha1.CloudAnswer{What: reason.EvidenceTerminated, Who: "alice", KernelLog: panicked}),
			"This node died unexpectedly because its kernel panicked! (Fatal exception)"},
		"its host failed, and the kernel panicked of that": {
			anAnsweredRecord(gone, v1alpha1.CloudAnswer{What: reason.EvidenceHostFailure, Detail: "Server.InternalError", KernelLog: panicked}),
			"This node had to be removed because its hardware failed (Server.InternalError)"},
		"a panic that was heard": {record: anAnsweredRecord(
			reason.New(reason.Node, reason.KernelPanic, "Oops", "netconsole"), spot)},
		"the agent heard otherwise": {anAnsweredRecord(
			reason.New(reason.Node, reason.NodeScaledDown, "its group", "Amazon EC2"), spot, announced),
			"The cloud took the spot instance of this node back (Server.SpotInstanceTermination)"},
		"the cloud says more than before": {amended,
			"The cloud took the spot instance of this node back (Server.SpotInstanceTermination)"},
		"found in another place": {record: elsewhere},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, ok := answerOn(tt.record).explains(tt.record)
			if string(r.Text) != tt.want || ok != (tt.want != "") {
				t.Errorf("it explains %t: %q", ok, r.Text)
			}
		})
	}
}

func TestAnswerConcerns(t *testing.T) {
	t.Parallel()
	ended := left.Add(-10 * time.Minute)
	record := anAnsweredRecord(reason.New(reason.Node, reason.CloudInstanceGone, "n", "ccm"),
		v1alpha1.CloudAnswer{What: reason.EvidenceSpot, When: metav1.NewTime(ended)})
	a := answerOn(record)
	gone := reason.New(reason.Pod, reason.CloudInstanceGone, "n", "")
	unreachable := reason.New(reason.Pod, reason.NodeUnreachable, "Ready=Unknown", "")
	unexplained := reason.New(reason.Pod, reason.Unexplained, "x", "x")
	tests := map[string]struct {
		of       reason.Reason
		obituary string
		asked    time.Time
		young    bool
		amended  string
		want     bool
	}{
		"it went with the node":                   {of: gone, obituary: "n-1", asked: left, want: true},
		"evicted while the node was silent":       {of: unreachable, asked: ended.Add(5 * time.Minute), want: true},
		"evicted when it was silent long ago":     {of: unreachable, asked: ended.Add(-time.Hour)},
		"it went with another node of that name":  {of: gone, obituary: "n-0", asked: left},
		"it was created for the next one":         {of: gone, asked: left.Add(time.Hour), young: true},
		"nobody said why, with the node":          {of: unexplained, obituary: "n-1", asked: left, want: true},
		"nobody said why, before the node":        {of: unexplained, obituary: "n-1", asked: ended.Add(-2 * time.Minute)},
		"nobody said why, and nothing links them": {of: unexplained, asked: left},
		"drained":                    {of: reason.New(reason.Pod, reason.NodeDrained, "by bob", ""), obituary: "n-1", asked: left},
		"the cloud's earlier answer": {of: reason.New(reason.Pod, reason.HardwareFailure, "hostError", ""), obituary: "n-1", asked: left, amended: "aws api", want: true},
		"found in another place":     {of: reason.New(reason.Pod, reason.KernelPanic, "Oops", ""), obituary: "n-1", asked: left, amended: "kdump"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &v1alpha1.PodObituary{}
			o.Spec = v1alpha1.PodObituarySpec{NodeName: "n", NodeObituary: tt.obituary,
				Code: string(tt.of.Code), Reason: string(tt.of.Text),
				Created: metav1.NewTime(left.Add(-time.Hour)), Removed: metav1.NewTime(tt.asked)}
			if tt.young {
				o.Spec.Created = metav1.NewTime(left.Add(time.Minute))
			}
			if tt.amended != "" {
				o.Spec.Amended = &v1alpha1.Amendment{From: tt.amended}
			}
			if got := a.concerns(record, o); got != tt.want {
				t.Errorf("it concerns the record: %t", got)
			}
		})
	}
}
