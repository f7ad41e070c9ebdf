package reports

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	epitaph "github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/config"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func deadPod(change ...func(*epitaph.PodObituary)) *epitaph.PodObituary {
	o := &epitaph.PodObituary{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "train-8f6f7c1e4f0a"},
		Spec: epitaph.PodObituarySpec{
			PodName: "train", PodUID: "8f6f7c1e", NodeName: "n1", Code: "Unexplained",
			Class: "unexplained", By: "alice", Removed: metav1.NewTime(noon),
			Reason: "Nobody said why this pod was deleted, and nothing could be inferred (deleted by alice)",
			Owners: []epitaph.Owner{{Kind: "Job", Name: "nightly-1"},
				{Kind: "CronJob", Name: "nightly"}},
		},
	}
	for _, f := range change {
		f(o)
	}
	return o
}

// crowd returns findings of one namespace, in order.
func crowd(n int, change ...func(*epitaph.PodObituary)) []v1alpha1.ReportResult {
	var all []v1alpha1.ReportResult
	for i := range n {
		all = append(all, ofPod(deadPod(append(change, func(o *epitaph.PodObituary) {
			o.Spec.PodName, o.Spec.Removed = fmt.Sprintf("p-%d", i),
				metav1.NewTime(noon.Add(time.Duration(-i)*time.Minute))
			o.Name = fmt.Sprintf("p-%d-8f6f7c1e4f0a", i)
		})...)))
	}
	byAge(all)
	return all
}

func TestReportOfOnePod(t *testing.T) {
	t.Parallel()
	got := compose([]v1alpha1.ReportResult{ofPod(deadPod())}, 1,
		grading{result: enforced, max: 100})
	want := &v1alpha1.Report{
		Source:        "epitaph",
		Configuration: &v1alpha1.ReportConfiguration{Limits: v1alpha1.Limits{MaxResults: 100}},
		Summary:       v1alpha1.ReportSummary{Fail: 1},
		Results: []v1alpha1.ReportResult{{
			Source: "epitaph", Policy: "every-deletion-has-a-reason", Rule: "pods",
			Category: "Audit", Severity: "medium", Result: "fail", Scored: true,
			Timestamp:   metav1.Timestamp{Seconds: noon.Unix()},
			Description: "Nobody said why this pod was deleted, and nothing could be inferred (deleted by alice)",
			Subjects: []corev1.ObjectReference{
				{APIVersion: "v1", Kind: "Pod", Namespace: "team", Name: "train", UID: "8f6f7c1e"}},
			Properties: map[string]string{"by": "alice", "code": "Unexplained", "node": "n1",
				"obituary": "train-8f6f7c1e4f0a", "owner": "CronJob/nightly"},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestReportOfOneNodeThatNobodySawGo(t *testing.T) {
	t.Parallel()
	o := &epitaph.NodeObituary{
		ObjectMeta: metav1.ObjectMeta{Name: "n1-missed692"},
		Spec: epitaph.NodeObituarySpec{NodeName: "n1", Code: "Unexplained",
			Removed: metav1.NewTime(noon)},
	}
	got := compose([]v1alpha1.ReportResult{ofNode(o)}, 1, grading{result: unenforced, max: 100})
	if got.Summary != (v1alpha1.ReportSummary{Warn: 1}) {
		t.Errorf("summary %+v, want one that warns", got.Summary)
	}
	want := v1alpha1.ReportResult{
		Source: "epitaph", Policy: "every-deletion-has-a-reason", Rule: "nodes", Category: "Audit",
		Severity: "medium", Result: "warn",
		Timestamp: metav1.Timestamp{Seconds: noon.Unix()}, Description: "It left without a reason",
		Subjects:   []corev1.ObjectReference{{APIVersion: "v1", Kind: "Node", Name: "n1"}},
		Properties: map[string]string{"code": "Unexplained", "obituary": "n1-missed692"},
	}
	if diff := cmp.Diff(want, got.Results[0]); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestNewestFindRoom(t *testing.T) {
	t.Parallel()
	got := compose(crowd(5)[:4], 7, grading{result: enforced, max: 3})
	var names []string
	for _, r := range got.Results[:3] {
		names = append(names, r.Subjects[0].Name)
	}
	if diff := cmp.Diff([]string{"p-0", "p-1", "p-2"}, names); diff != "" {
		t.Errorf("the newest (-want +got):\n%s", diff)
	}
	note := got.Results[3]
	if len(got.Results) != 4 || note.Result != "skip" || len(note.Subjects) != 0 ||
		note.Properties["leftOut"] != "4" ||
		note.Description != "4 older findings do not fit here; kubectl epitaph audit counts them all" {
		t.Errorf("the note about the others is %+v", note)
	}
	if got.Summary != (v1alpha1.ReportSummary{Fail: 3, Skip: 1}) {
		t.Errorf("summary %+v, want what the results say", got.Summary)
	}
	if none := compose(nil, 0, grading{result: enforced, max: 3}); len(none.Results) != 0 {
		t.Errorf("without findings there are results: %+v", none.Results)
	}
}

// Whatever obituaries contain, etcd takes the report, and nothing in it controls a terminal.
func TestHostileFindingsAreHarmless(t *testing.T) {
	t.Parallel()
	evil := strings.Repeat("\x1b]0;owned\x07<script>\u202e&", 500)
	all := crowd(1000, func(o *epitaph.PodObituary) {
		o.Spec.Reason, o.Spec.By, o.Spec.Code, o.Spec.NodeName = evil, evil, evil, evil
		o.Spec.PodUID, o.Spec.Owners = types.UID(evil), []epitaph.Owner{{Kind: evil, Name: evil}}
	})
	got := compose(all, len(all), grading{result: enforced, max: 1000})
	encoded, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if limit := maxBytes + 4096; len(encoded) > limit || len(got.Results) < 10 {
		t.Errorf("%d results in %d bytes, want at most %d", len(got.Results), len(encoded), limit)
	}
	if want := fmt.Sprint(1000 - got.Summary.Fail); got.Results[len(
		got.Results)-1].Properties["leftOut"] != want {
		t.Errorf("left out %q, want %s", got.Results[len(got.Results)-1].Properties["leftOut"],
			want)
	}
	for _, r := range got.Results {
		if shown := fmt.Sprintf("%+v", r); strings.ContainsAny(shown, "\x1b\x07\u202e") {
			t.Fatalf("a terminal would obey %q", shown)
		}
	}
}

// A report with the right content is not written; whatever else it contains is removed.
func TestFillTellsWhatChanged(t *testing.T) {
	t.Parallel()
	for format, a := range apis {
		body, err := a.body(compose(crowd(2), 2, grading{result: enforced, max: 100}))
		if err != nil {
			t.Fatal(err)
		}
		if _, known := body["source"]; known != (format == config.OpenReports) {
			t.Errorf("%s: a report has a source: %t", format, known)
		}
		u := a.empty("team")
		if !fill(u, body) || u.GetName() != Name || u.GetNamespace() != "team" {
			t.Errorf("%s: an empty report was not filled: %v", format, u.Object)
		}
		if fill(u, body) {
			t.Errorf("%s: a report that says the same has changed", format)
		}
		u.Object["scope"] = map[string]any{"kind": "Pod"}
		if !fill(u, body) || u.Object["scope"] != nil {
			t.Errorf("%s: what somebody added was kept", format)
		}
	}
}
