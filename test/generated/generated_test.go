// Package generated holds what is generated to what it is generated from: the deep copies and the
// CRDs of the records.
package generated

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGeneratedFilesAreCurrent(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIPPED by -short: controller-gen is missing, which make test-controlplane builds")
	}
	fresh := t.TempDir()
	// As test/codegen/doc.go has it, into another folder.
	cmd := exec.CommandContext(t.Context(), "go", "tool", "controller-gen", "object",
		"paths=../../api/...", "crd:maxDescLen=1000",
		"output:object:dir="+fresh, "output:crd:dir="+fresh)
	cmd.Dir = "../codegen"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("generate: %v\n%s", err, out)
	}
	committed := append(glob(t, "../../api/v1alpha1/zz_generated.deepcopy.go"),
		glob(t, "../../charts/epitaph/crds/*.yaml")...)
	if made := glob(t, filepath.Join(fresh, "*")); len(made) != len(committed) {
		t.Errorf("%d files are generated, %d are committed: run go generate in test/codegen",
			len(made), len(committed))
	}
	for _, path := range committed {
		want, got := read(t, filepath.Join(fresh, filepath.Base(path))), read(t, path)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf(
				"%s is not what would be generated: run go generate in test/codegen (-generated +committed):\n%s", path, diff)
		}
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no files %s (%v)", pattern, err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
