package webhook

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A removal is the part of an inference case that the review of a DELETE tells.
type removal struct {
	Now     *time.Time `json:"now"`
	Remover struct {
		User   string   `json:"user"`
		Groups []string `json:"groups"`
	} `json:"remover"`
	Pod        *corev1.Pod  `json:"pod"`
	Node       *corev1.Node `json:"node"`
	NodeGone   bool         `json:"nodeGone"`
	Preemptors []corev1.Pod `json:"preemptors"`
	Owner      reason.Owner `json:"owner"`
}

func (r removal) facts(pod *corev1.Pod) reason.Facts {
	f := reason.Facts{
		Now: now, Pod: pod, Node: r.Node, NodeGone: r.NodeGone, Owner: r.Owner,
		Remover: reason.RemoverOf(r.Remover.User, r.Remover.Groups),
	}
	if r.Now != nil {
		f.Now = *r.Now
	}
	for n := range r.Preemptors {
		f.Preemptors = append(f.Preemptors, &r.Preemptors[n])
	}
	return f
}

func readRemovals(t *testing.T) map[string]removal {
	t.Helper()
	files, err := filepath.Glob("../reason/testdata/cases/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]removal{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r removal
		if err := yaml.Unmarshal(data, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if r.Pod != nil {
			all[filepath.Base(file)] = r
		}
	}
	if len(all) < 60 {
		t.Fatalf("there are %d cases with pods, want 60 or more", len(all))
	}
	return all
}

// infersTheSame compares what is inferred of a pod and of what decode leaves of it.
func infersTheSame(t *testing.T, r removal, decode func([]byte) (*corev1.Pod, error)) string {
	t.Helper()
	raw, err := json.Marshal(r.Pod)
	if err != nil {
		t.Fatal(err)
	}
	read, err := decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	inferrer := reason.Inferrer{Keys: reason.DefaultKeys(), Signals: reason.DefaultSignals(),
		Identities: reason.DefaultIdentities()}
	want, _ := inferrer.Infer(r.facts(r.Pod))
	got, _ := inferrer.Infer(r.facts(read))
	return cmp.Diff(want, got)
}

func TestWhatIsReadOfAPodIsAllThatCounts(t *testing.T) {
	t.Parallel()
	for name, r := range readRemovals(t) {
		if diff := infersTheSame(t, r, decodePod); diff != "" {
			t.Errorf("%s is inferred otherwise of what is read of the pod (-want +got):\n%s", name,
				diff)
		}
	}
}

// Fields of the pod that inference reads: leaving one out must not go unnoticed by the test above.
func TestEveryPartThatIsReadCounts(t *testing.T) {
	t.Parallel()
	removals := readRemovals(t)
	for part, without := range map[string]func(*corev1.Pod){
		"annotations":       func(p *corev1.Pod) { p.Annotations = nil },
		"owners":            func(p *corev1.Pod) { p.OwnerReferences = nil },
		"namespace":         func(p *corev1.Pod) { p.Namespace = "" },
		"deletionTimestamp": func(p *corev1.Pod) { p.DeletionTimestamp = nil },
		"node":              func(p *corev1.Pod) { p.Spec.NodeName = "" },
		"priority":          func(p *corev1.Pod) { p.Spec.Priority = nil },
		"phase":             func(p *corev1.Pod) { p.Status.Phase = "" },
		"reason":            func(p *corev1.Pod) { p.Status.Reason = "" },
		"message":           func(p *corev1.Pod) { p.Status.Message = "" },
		"conditions":        func(p *corev1.Pod) { p.Status.Conditions = nil },
	} {
		noticed := false
		for _, r := range removals {
			noticed = noticed || infersTheSame(t, r, func(raw []byte) (*corev1.Pod, error) {
				p, err := decodePod(raw)
				without(p)
				return p, err
			}) != ""
		}
		if !noticed {
			t.Errorf("no case needs the pod's %s: stop reading it, or add the case that does", part)
		}
	}
}
