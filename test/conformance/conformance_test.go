package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/google/go-cmp/cmp"
)

func TestSelectionCanBeRead(t *testing.T) {
	t.Parallel()
	s, err := readSelection(selectionFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Tests) == 0 || len(s.LeftOut) == 0 {
		t.Errorf("%d rules choose and %d leave out", len(s.Tests), len(s.LeftOut))
	}
	for file, want := range map[string]string{
		"tests: [{match: '(', why: x}]": "missing closing",
		"tests: [{match: a}]":           "needs both",
		"tests: [{wat: a}]":             "unknown field",
	} {
		if _, err := readSelection([]byte(file)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
}

func TestSelectionChooses(t *testing.T) {
	t.Parallel()
	s, err := readSelection([]byte(`
tests: [{match: '^Job', why: x}]
leftOut: [{match: 'Slow', why: y}, {match: 'gone', why: z}]`))
	if err != nil {
		t.Fatal(err)
	}
	all := []test{{Name: "Job a"}, {Name: "Job b [Slow]"}, {Name: "Pod c"}}
	if _, err := s.choose(all); err == nil || !strings.Contains(err.Error(), `"gone" fits no test`) {
		t.Errorf("a rule that fits nothing: %v", err)
	}
	s.LeftOut = s.LeftOut[:1]
	s.LeftOut[0].left = 0
	chosen, err := s.choose(all)
	if err != nil || len(chosen) != 1 || chosen[0].Name != "Job a" || s.LeftOut[0].left != 1 {
		t.Errorf("chosen are %v (%v), and %d are left out", chosen, err, s.LeftOut[0].left)
	}
}

func TestWhatTheTestsNotice(t *testing.T) {
	t.Parallel()
	r := report{
		tests: []test{{Name: "[sig-apps] Job a"}, {Name: "[sig-apps] Job b"},
			{Name: "[sig-node] Pods c"}},
		without: map[string]test{
			"[sig-apps] Job a":  {State: "passed"},
			"[sig-apps] Job b":  {State: "passed"},
			"[sig-node] Pods c": {State: "failed"},
		},
		// The process of b died.
		with:    map[string]test{"[sig-apps] Job a": {State: "passed"}},
		leftOut: []*rule{{Match: "a|b", Why: "why not", left: 7}},
	}
	if n := r.noticed(); len(n) != 1 || n[0].Name != "[sig-apps] Job b" {
		t.Errorf("noticed are %v, want b", n)
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("# A\n"+tableBegin+"old\n"+tableEnd+"B\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.writeTable(page); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := "# A\n" + tableBegin + `
| part | tests | pass without Epitaph | pass with it |
|---|---|---|---|
| [sig-apps] Job | 2 | 2 | 1 |
| [sig-node] Pods | 1 | 0 | 0 |
| **all** | **3** | **2** | **1** |

| left out | tests | why |
|---|---|---|
| ` + "`a\\|b`" + ` | 7 | why not |

` + tableEnd + "B\n"
	if diff := cmp.Diff(want, string(written)); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
	}
}

func TestProgramsEndAsTheirScriptsSay(t *testing.T) {
	t.Parallel()
	p := &programs{marked: map[string]bool{}, ended: map[types.UID]bool{}}
	pod := func(uid, index string, command ...string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Namespace: "n",
				Labels:      map[string]string{batchv1.JobNameLabel: "j"},
				Annotations: map[string]string{batchv1.JobCompletionIndexAnnotation: index}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Command: command}}},
		}
	}
	const once = "if [[ -r /data/foo-$JOB_COMPLETION_INDEX ]] then exit 0 else exit 42 fi"
	for _, c := range []struct {
		pod  *corev1.Pod
		code int
		ends bool
	}{
		{pod("1", "", "/bin/true"), 0, true},
		{pod("2", "", "/bin/false"), 1, true},
		{pod("3", "", "/bin/sh", "-c", "exit 0"), 0, true},
		{pod("4", "3", "sh", "-c", "expr ${JOB_COMPLETION_INDEX} % 2"), 1, true},
		{pod("5", "0", "sh", "-c", once), 42, true},
		{pod("6", "1", "sh", "-c", once), 42, true},
		{pod("7", "0", "sh", "-c", once), 0, true},
		{pod("7", "0", "sh", "-c", once), 0, false}, // asked before
		{pod("8", "", "sleep", "1000"), 0, false},
	} {
		if code, ends := p.exitCode(c.pod); code != c.code || ends != c.ends {
			t.Errorf("pod %s ends %t with %d, want %t with %d", c.pod.UID, ends, code, c.ends,
				c.code)
		}
	}
}
