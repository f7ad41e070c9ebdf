package policytest

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/utils/clock"
)

// The page for whoever writes policies is what it says: its files, tried, print what stands there.
func TestManualIsRun(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, m := range regexp.MustCompile(
		"(?s)<!-- file: (\\S+) -->\n```yaml\n(.*?)```").FindAllSubmatch(page, -1) {
		if err := os.WriteFile(filepath.Join(dir, string(m[1])), m[2], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	suite, err := Read("test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := suite.Run(t.Context(), clock.RealClock{}, &out); !errors.Is(err, ErrFailed) {
		t.Fatalf("ended with %v", err)
	}
	want := regexp.MustCompile("(?s)<!-- output -->\n```console\n[^\n]*\n(.*?)```").FindSubmatch(
		page)
	if got := out.String() + "epitaph: " + ErrFailed.Error() + "\n"; got != string(want[1]) {
		t.Errorf("printed\n%s\nwant\n%s", got, want[1])
	}
}

// Whoever gets it wrong is told where, and what to write.
func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: config.epitaph-k8s.io/v1alpha1\nkind: PolicyTest\n"
	pod := "objects: [{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: team}}]"
	for name, tc := range map[string]struct{ file, want string }{
		"no kind": {"cases: []",
			`kind: is "" of "": write kind: PolicyTest and apiVersion: config.epitaph-k8s.io/v1alpha1`},
		"no cases":         {head, "cases: is empty: a test that tries nothing cannot fail"},
		"an unknown field": {head + "case: []", `unknown field "case"`},
		"no name": {head +
			"cases: [{user: a, deletes: {kind: Pod, name: p}, want: {code: Evicted}}]",
			`case 1 "": name: is missing`},
		"nobody asks": {head +
			"cases: [{name: c, deletes: {kind: Pod, namespace: team, name: p}, want: {code: Evicted}, " + pod + "}]", `case 1 "c": user: is missing`},
		"two ways to ask": {head +
			"cases: [{name: c, reviews: [r], deletes: {kind: Pod, name: p}, want: {code: Evicted}}]", "exactly one of reviews, deletes and evicts"},
		"a user of a review": {head +
			"cases: [{name: c, reviews: [r], user: a, want: {code: Evicted}}]",
			"user: goes with deletes and evicts"},
		"words on a delete": {head +
			"cases: [{name: c, user: a, says: x, deletes: {kind: Pod, name: p}, want: {code: Evicted}}]", "says: and for: go with evicts"},
		"nothing is wanted": {head +
			"cases: [{name: c, user: a, deletes: {kind: Pod, name: p}}]",
			"want: is missing: write at least one of"},
		"an unknown decision": {head +
			"cases: [{name: c, user: a, deletes: {kind: Pod, name: p}, want: {decision: deny}}]",
			`want.decision: is "deny": write allowed or denied`},
		"an unknown code": {head +
			"cases: [{name: c, user: a, deletes: {kind: Pod, name: p}, want: {code: Evict}}]",
			`want.code: is "Evict", which is no code: docs/reasons.md lists them`},
		"an object not there": {head +
			"cases: [{name: c, user: a, deletes: {kind: Pod, namespace: team, name: p}, want: {code: Evicted}}]", `deletes: there is no Pod team/p: add it to objects`},
		"a kind not decided": {head +
			"cases: [{name: c, user: a, evicts: {kind: Node, name: p}, want: {code: Evicted}}]",
			`evicts.kind: is "Node": write Pod`},
		"a field not known": {head +
			"cases: [{name: c, user: a, deletes: {kind: Pod, name: p}, want: {code: Evicted}, objects: [{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {unschedulabel: true}}]}]", `objects[0]: Node n1: unknown field "spec.unschedulabel"`},
		"an object of no kind": {head +
			"cases: [{name: c, user: a, deletes: {kind: Pod, name: p}, want: {code: Evicted}, objects: [{metadata: {name: n1}}]}]", `objects[0]: kind: is missing`},
		"a broken pattern": {head +
			"cases: [{name: c, user: a, deletes: {kind: Pod, name: p}, want: {by: /(/}}]",
			"write a regular expression between the slashes"},
		"no review": {head +
			"cases: [{name: c, reviews: [none.yaml], want: {code: Evicted}}]",
			"none.yaml: no such file"},
		"no configuration": {head +
			"config: none.yaml\ncases: [{name: c, user: a, deletes: {kind: Pod, name: p}, want: {code: Evicted}}]", "config:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "test.yaml")
			if err := os.WriteFile(path, []byte(tc.file), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Read(path)
			if err == nil || !strings.Contains(err.Error(), tc.want) ||
				!strings.Contains(err.Error(), path) {
				t.Errorf("ended with %v, want %q and the file's name", err, tc.want)
			}
		})
	}
}

// Several reviews of one case, and an object of a kind that nobody knows.
func TestReviewsAndObjectsOfAnyKind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	review :=
		"apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nrequest: {uid: u, operation: DELETE, resource: {group: '', version: v1, resource: pods}, " +
			"userInfo: {username: 'system:serviceaccount:ci:x'}, oldObject: {metadata: {name: p, namespace: team, uid: u}, status: {phase: PHASE}}}\n"
	for name, content := range map[string]string{
		"two.yaml": strings.Replace(review, "PHASE", "Succeeded", 1) + "---\n" +
			strings.Replace(review, "PHASE", "Running", 1),
		"objects.yaml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: kueue.x-k8s.io/v1beta2, kind: Workload, metadata: {name: w, namespace: team}, spec: {anything: 1}}\n" +
			"- {apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: r, namespace: team}}\n",
		"test.yaml": "apiVersion: config.epitaph-k8s.io/v1alpha1\nkind: PolicyTest\nobjects: [objects.yaml]\ncases: [{name: c, reviews: [two.yaml], want: {code: AlreadyEnded}}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	suite, err := Read(filepath.Join(dir, "test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(suite.Objects) != 2 || suite.Objects[0].GetKind() != "Workload" {
		t.Errorf("%d objects were read", len(suite.Objects))
	}
	var out strings.Builder
	err = suite.Run(t.Context(), clock.RealClock{}, &out)
	const want = `request 2: code: is "Unexplained", want "AlreadyEnded"`
	if !errors.Is(err, ErrFailed) || !strings.Contains(out.String(), want) ||
		strings.Contains(out.String(), "request 1") {
		t.Errorf("ended with %v, printed\n%s\nwant %s", err, out.String(), want)
	}
}
