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
	// PodsHere are pods of the owner that exist; Owner is one that is no Job, and Deletion the record
	// of who deleted it.
	PodsHere []v1alpha1.PodObituary      `json:"podsHere"`
	Owner    *v1alpha1.Owner             `json:"owner"`
	Deletion *v1alpha1.OwnerObituarySpec `json:"deletion"`
	Want     struct {
		Verdict     v1alpha1.Retry   `json:"verdict"`
		Basis       Basis            `json:"basis"`
		Started     v1alpha1.Started `json:"started"`
		MayStillRun v1alpha1.Answer  `json:"mayStillRun"`
		Chargeable  v1alpha1.Answer  `json:"chargeable"`
		Text        string           `json:"text"`
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
		return OfWorkload(c.workload())
	}
}

// workload is the owner of a case without a pod and a node: Job batch/nightly, if it says no other.
func (c storyCase) workload() Workload {
	w := Workload{APIVersion: "batch/v1", Kind: "Job", Namespace: "batch", Name: "nightly",
		Job: c.Job, Gone: c.Job == nil, Deletion: c.Deletion, Pods: c.Pods, Here: c.PodsHere}
	if c.Job != nil {
		w.UID, w.JobSpec = c.Job.UID, &c.Job.Spec
	}
	if o := c.Owner; o != nil {
		w.APIVersion, w.Kind, w.Name, w.UID, w.Gone = o.APIVersion, o.Kind, o.Name, o.UID, o.UID == ""
	}
	return w
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
			want := v1alpha1.Verdict{Started: c.Want.Started, MayStillRun: c.Want.MayStillRun,
				Chargeable: c.Want.Chargeable, Retry: c.Want.Verdict, Basis: c.Want.Basis}
			if diff := cmp.Diff(want, v.Verdict); diff != "" {
				t.Errorf("%s: the verdict (-want +got):\n%s", c.Description, diff)
			}
		})
	}
}

// Every basis needs a case: one without has not been thought through.
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
	documented := map[Basis]v1alpha1.Retry{}
	for _, m := range regexp.MustCompile(
		"(?m)^\\| `([A-Z][A-Za-z]+)` \\| (safe|no|unknown) \\|").FindAllSubmatch(page, -1) {
		documented[Basis(m[1])] = v1alpha1.Retry(m[2])
	}
	if diff := cmp.Diff(answers, documented); diff != "" {
		t.Errorf("-the code +docs/batch-users.md:\n%s", diff)
	}
}
