package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/story"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func TestPrintPaintsTheVerdict(t *testing.T) {
	t.Parallel()
	tests := map[v1alpha1.Retry]string{v1alpha1.RetrySafe: "32", v1alpha1.RetryNo: "31",
		v1alpha1.RetryUnknown: "33"}
	for answer, shade := range tests {
		var out strings.Builder
		p := &plugin{out: &out, colours: true}
		verdict := story.Verdict{Verdict: v1alpha1.Verdict{Retry: answer}, Because: "x."}
		if err := p.print(story.Story{Title: story.Line{{Text: "T."}}, Verdict: &verdict}); err != nil {
			t.Fatal(err)
		}
		want := "\x1b[1mT.\x1b[0m\n\n\x1b[1mMay it be run again?\x1b[0m\n  \x1b[" + shade + "m" +
			verdict.String() + "\x1b[0m\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", answer, diff)
		}
	}
}

// A story's times are told in UTC and, where the reader lives elsewhere, in their own zone too.
func TestTimesOfTheReader(t *testing.T) {
	t.Parallel()
	title := story.Line{{Text: "It left at "}, {Time: noon}, {Text: "."}}
	for name, tc := range map[string]struct {
		zone *time.Location
		want string
	}{
		"no zone":     {nil, ""},
		"UTC":         {time.UTC, ""},
		"the morning": {time.FixedZone("PDT", -7*3600), " (05:00:00 PDT)"},
		"another day": {time.FixedZone("NZST", 12*3600), " (2026-05-02 00:00:00 NZST)"},
	} {
		var out strings.Builder
		p := &plugin{out: &out, zone: tc.zone}
		if err := p.print(story.Story{Title: title}); err != nil {
			t.Fatal(err)
		}
		if want := "It left at 2026-05-01 12:00:00 UTC" + tc.want + ".\n"; out.String() != want {
			t.Errorf("%s: got %q, want %q", name, out.String(), want)
		}
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want target
		bad  bool
	}{
		"a pod by its kind":   {args: []string{"pod/a"}, want: target{"pod", "", "a"}},
		"a pod by its name":   {args: []string{"a"}, want: target{"pod", "", "a"}},
		"two words":           {args: []string{"node", "n"}, want: target{"node", "", "n"}},
		"a short kind":        {args: []string{"no/n"}, want: target{"node", "", "n"}},
		"many of a kind":      {args: []string{"jobs/j"}, want: target{"job", "batch", "j"}},
		"a short owner":       {args: []string{"deploy/d"}, want: target{"deployment", "apps", "d"}},
		"any owner":           {args: []string{"Workflow.argoproj.io", "w"}, want: target{"workflow", "argoproj.io", "w"}},
		"no group":            {args: []string{"workflow./w"}, bad: true},
		"no name":             {args: []string{"pod/"}, bad: true},
		"another kind":        {args: []string{"service/s"}, bad: true},
		"something after it":  {args: []string{"pod/a/log"}, bad: true},
		"two words and slash": {args: []string{"pod/a", "b"}, bad: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := targetOf(tc.args, told...)
			if got != tc.want || (err != nil) != tc.bad || tc.bad && !errors.Is(err, errUsage) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{
		errors.New("x"): 1, errBroken: 1,
		fmt.Errorf("list: %w", errUsage):     2,
		fmt.Errorf("pod x: %w", errNotFound): 3,
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: got %d, want %d", err, got, want)
		}
	}
}

// The help of a command names its own flags; those of all commands have a page of their own.
func TestHelpOfFlags(t *testing.T) {
	t.Parallel()
	says := func(args ...string) string {
		var out strings.Builder
		p := &plugin{out: &out, errOut: &out}
		c := p.command()
		c.SetArgs(args)
		if err := c.Execute(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, args := range [][]string{{"list", "--help"}, {"help", "list"}, {"delete", "--help"},
		{"drain", "-h"}, {"--help"}, nil} {
		if got := says(args...); strings.Contains(got, "--context string") ||
			!strings.Contains(got, `Use "kubectl epitaph options"`) ||
			!strings.Contains(got, "-h, --help") {
			t.Errorf("%v says\n%s", args, got)
		}
	}
	if got := says("list", "--help"); !strings.Contains(got, "--all-namespaces") ||
		!strings.Contains(got, "custom-columns=") {
		t.Errorf("list --help says\n%s", got)
	}
	if got := says("options"); !strings.Contains(got, "--context string") ||
		!strings.Contains(got, "-n, --namespace string") {
		t.Errorf("options says\n%s", got)
	}
	if got := says("__complete", "list", "--conte"); !strings.Contains(got, "--context") {
		t.Errorf("a shell does not complete --context: %s", got)
	}
}

func TestFindings(t *testing.T) {
	t.Parallel()
	left := func(namespace, by string, when time.Time) v1alpha1.PodObituary {
		o := v1alpha1.PodObituary{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}}
		o.Spec.By, o.Spec.Removed = by, metav1.NewTime(when)
		return o
	}
	node := v1alpha1.NodeObituary{Spec: v1alpha1.NodeObituarySpec{By: "carol",
		Removed: metav1.NewTime(noon)}}
	// a Friday: still the last week of 2026 (ISO 8601)
	newYear := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	got := findingsOf([]v1alpha1.PodObituary{
		left("a", "carol", noon), left("a", "dave", noon), left("a", "dave", noon),
		left("b", "carol", newYear),
	}, []v1alpha1.NodeObituary{node})
	want := []finding{
		{"2026-W53", "b", "carol", 1}, {"2026-W18", "a", "dave", 2},
		{"2026-W18", "(nodes)", "carol", 1}, {"2026-W18", "a", "carol", 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
