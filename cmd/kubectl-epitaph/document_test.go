package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// Documents that are not API objects are printed in kubectl's formats, too.
func TestDocuments(t *testing.T) {
	t.Parallel()
	findings := []finding{{"2026-W18", "a", "dave\x1b[2J", 2}, {"2026-W17", "b", "carol", 1}}
	one := map[string]any{"verdict": map[string]any{"retry": "safe"}}
	tests := map[string]struct {
		format string
		value  any
		want   string
	}{
		"a path into a list":   {"jsonpath={[*].namespace}", findings, "a b"},
		"a path into one":      {"jsonpath={.verdict.retry}", one, "safe"},
		"a template":           {"go-template={{range .}}{{.deletions}} {{end}}", findings, "2 1 "},
		"columns of a list":    {"custom-columns=BY:.by,N:.deletions", findings, "BY N dave\\x1b[2J 2 carol 1"},
		"columns of one":       {"custom-columns=RETRY:.verdict.retry", one, "RETRY safe"},
		"a path, and escapes":  {"jsonpath={[0].by}", findings, `dave\u001b[2J`},
		"json":                 {"json", one, `{ "verdict": { "retry": "safe" } }`},
		"yaml":                 {"yaml", one, "verdict: retry: safe"},
		"nothing in the table": {"custom-columns=BY:.by", []finding{}, "BY"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			p := &plugin{out: &out}
			o := documentOutput{recordOutput{format: tc.format}}
			printer, err := o.printer()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.printDocument(printer, o, tc.value); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(strings.Fields(out.String()), " ")
			if got != strings.TrimSpace(tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	for _, format := range []string{"name", "wide", "jsn", "jsonpath={"} {
		o := documentOutput{recordOutput{format: format}}
		if _, err := o.printer(); !errors.Is(err, errUsage) {
			t.Errorf("-o %s: %v", format, err)
		}
	}
}

func TestWhatIsMistypedIsSuggested(t *testing.T) {
	t.Parallel()
	for s, want := range map[*selection]string{
		{filter: lookup.Filter{Code: "KernelPnic"}}:  "did you mean KernelPanic?",
		{filter: lookup.Filter{Class: "disruptoin"}}: "did you mean disruption?",
		{filter: lookup.Filter{Class: "x"}}:          "it must be one of",
		{filter: lookup.Filter{Code: "OurOwnThing"}}: "",
		{filter: lookup.Filter{Code: "KernelPanic"}}: "",
		{filter: lookup.Filter{Class: "disruption"}}: "",
		{}: "",
	} {
		err := s.check()
		if want == "" && err != nil || want != "" && (!errors.Is(err, errUsage) ||
			!strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", s.filter, err, want)
		}
	}
	if err := isOneOf("-o", "jsom", "json", "yaml"); err == nil ||
		!strings.Contains(err.Error(), "did you mean json?") {
		t.Errorf("%v", err)
	}
}
