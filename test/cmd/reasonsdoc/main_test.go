package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestManualIsCurrent(t *testing.T) {
	t.Parallel()
	const manual = "../../../docs/reasons.md"
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	page, err := render(string(data))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page, string(data)); diff != "" {
		t.Errorf(
			"%s is not what would be generated: run make generate (-generated +committed):\n%s",
			manual, diff)
	}
}

func TestPageWithoutAPlace(t *testing.T) {
	t.Parallel()
	if _, err := render("# Reasons\n"); err == nil ||
		!strings.Contains(err.Error(), "the page has no place for the table ") {
		t.Errorf("render = %v, want it to name the table that has no place", err)
	}
}
