package story

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// A storyCase is a file of testdata/cases: see the README there.
type storyCase struct {
	Description string                 `json:"description"`
	Pod         *v1alpha1.PodObituary  `json:"pod"`
	Here        bool                   `json:"here"`
	Untracked   bool                   `json:"untracked"`
	Node        *v1alpha1.NodeObituary `json:"node"`
	Job         *batchv1.Job           `json:"job"`
	JobGone     bool                   `json:"jobGone"`
	// Pods are those of the node or the job whose story is told, where there is no pod.
	Pods []v1alpha1.PodObituary `json:"pods"`
	Want struct {
		Verdict Answer `json:"verdict"`
		Basis   Basis  `json:"basis"`
		Text    string `json:"text"`
	} `json:"want"`
}

func (c storyCase) story() Story {
	switch {
	case c.Pod != nil:
		return OfPod(Facts{Pod: c.Pod, Here: c.Here, Untracked: c.Untracked, Node: c.Node,
			Job: c.Job, JobGone: c.JobGone})
	case c.Node != nil:
		return OfNode(c.Node, c.Pods)
	default:
		return OfJob("batch", "nightly", c.Job, c.Pods)
	}
}

func readCases(t *testing.T) map[string]storyCase {
	t.Helper()
	files, err := filepath.Glob("testdata/cases/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]storyCase{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c storyCase
		if err := yaml.UnmarshalStrict(data, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if c.Description == "" || c.Want.Text == "" {
			t.Fatalf("%s: a case needs a description and the text that it wants", file)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".yaml")] = c
	}
	return all
}

func TestCases(t *testing.T) {
	t.Parallel()
	cases := readCases(t)
	if len(cases) < 25 {
		t.Errorf("there are %d cases, want 25 or more", len(cases))
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := c.story()
			if diff := cmp.Diff(c.Want.Text, got.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.Description, diff)
			}
			var v Verdict
			if got.Verdict != nil {
				v = *got.Verdict
			}
			if v.Answer != c.Want.Verdict || v.Basis != c.Want.Basis {
				t.Errorf("%s: the verdict is %q by %q, want %q by %q", c.Description, v.Answer,
					v.Basis, c.Want.Verdict, c.Want.Basis)
			}
		})
	}
}

// A basis that no case has come to is one that nobody has thought through.
func TestEveryBasisHasACase(t *testing.T) {
	t.Parallel()
	missing := maps.Clone(answers)
	for _, c := range readCases(t) {
		delete(missing, c.Want.Basis)
	}
	for basis := range missing {
		t.Errorf("no case ends with %s", basis)
	}
}

// The page for batch users has every basis, under its answer.
func TestBasesAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/batch-users.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[Basis]Answer{}
	for _, m := range regexp.MustCompile(
		"(?m)^\\| `([A-Z][A-Za-z]+)` \\| (safe|no|unknown) \\|").FindAllSubmatch(page, -1) {
		documented[Basis(m[1])] = Answer(m[2])
	}
	if diff := cmp.Diff(answers, documented); diff != "" {
		t.Errorf("-the code +docs/batch-users.md:\n%s", diff)
	}
}
