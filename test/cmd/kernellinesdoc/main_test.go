package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/reason/kernel"
)

func TestManualIsCurrent(t *testing.T) {
	t.Parallel()
	const manual = "../../../docs/kernel-lines.md"
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(render(kernel.DefaultRules()), string(data)); diff != "" {
		t.Errorf(
			"%s is not what would be generated: run make generate (-generated +committed):\n%s",
			manual, diff)
	}
}
