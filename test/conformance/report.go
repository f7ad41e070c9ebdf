package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// A report is how the tests ended without Epitaph and with it.
type report struct {
	// tests are all that were chosen; without and with are how each ended.
	tests         []test
	without, with map[string]test
	// retried are those that passed with Epitaph at the second or third try only.
	retried []string
	leftOut []*rule
}

// sound are the tests that pass without Epitaph.
func (r *report) sound() []test {
	return slices.DeleteFunc(slices.Clone(r.tests),
		func(t test) bool { return !r.without[t.Name].passed() })
}

// broken are the tests that fail without Epitaph, too.
func (r *report) broken() []test {
	return slices.DeleteFunc(slices.Clone(r.tests),
		func(t test) bool { return r.without[t.Name].passed() })
}

// noticed are the tests that pass without Epitaph and not with it.
func (r *report) noticed() []test {
	return slices.DeleteFunc(r.sound(), func(t test) bool { return r.with[t.Name].passed() })
}

// retry runs what failed with Epitaph alone again, twice at the most.
func (r *report) retry(ctx context.Context, s *suite, kubeconfig string) error {
	for range 2 {
		failed := r.noticed()
		again, err := s.run(ctx, kubeconfig, failed)
		if err != nil {
			return err
		}
		for _, t := range failed {
			if again[t.Name].passed() {
				r.retried = append(r.retried, t.Name)
			}
		}
		maps.Copy(r.with, again)
	}
	return nil
}

// print says what is wrong, and the table.
func (r *report) print(out io.Writer) {
	for _, t := range r.broken() {
		fmt.Fprintf(out, "fails without Epitaph, too: %s: %s\n", t.Name,
			firstLine(r.without[t.Name]))
	}
	for _, name := range r.retried {
		fmt.Fprintf(out, "passed when it was tried again: %s\n", name)
	}
	for _, t := range r.noticed() {
		fmt.Fprintf(out, "PASSES WITHOUT EPITAPH AND FAILS WITH IT: %s: %s\n", t.Name,
			firstLine(r.with[t.Name]))
	}
	fmt.Fprint(out, r.table())
}

// firstLine is that of why a test failed.
func firstLine(t test) string {
	if t.State == "" {
		return "it has no result; its log says more"
	}
	line, _, _ := strings.Cut(t.Failure, "\n")
	return t.State + ": " + line
}

// area is the part of Kubernetes that a test is of: "[sig-apps] Job".
func area(name string) string {
	sig, rest, _ := strings.Cut(name, "] ")
	first, _, _ := strings.Cut(rest, " ")
	return sig + "] " + first
}

// table is what docs/conformance.md says: for each part how many tests there are, and what was left
// out.
func (r *report) table() string {
	type count struct{ all, without, with int }
	counts := map[string]count{}
	for _, t := range r.tests {
		c := counts[area(t.Name)]
		c.all++
		if r.without[t.Name].passed() {
			c.without++
		}
		if r.with[t.Name].passed() {
			c.with++
		}
		counts[area(t.Name)] = c
	}
	var b strings.Builder
	b.WriteString("\n| part | tests | pass without Epitaph | pass with it |\n|---|---|---|---|\n")
	var sum count
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		c := counts[name]
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", name, c.all, c.without, c.with)
		sum = count{sum.all + c.all, sum.without + c.without, sum.with + c.with}
	}
	fmt.Fprintf(&b, "| **all** | **%d** | **%d** | **%d** |\n", sum.all, sum.without, sum.with)
	b.WriteString("\n| left out | tests | why |\n|---|---|---|\n")
	for _, rule := range r.leftOut {
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", strings.ReplaceAll(rule.Match, "|", `\|`),
			rule.left, rule.Why)
	}
	return b.String() + "\n"
}

// The table of docs/conformance.md stands between these.
const (
	tableBegin = "<!-- written by make test-upstream -->\n"
	tableEnd   = "<!-- end -->\n"
)

// writeTable writes the table of a page anew.
func (r *report) writeTable(file string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	before, rest, begins := bytes.Cut(page, []byte(tableBegin))
	_, after, ends := bytes.Cut(rest, []byte(tableEnd))
	if !begins || !ends {
		return fmt.Errorf("write the table: %s lacks the lines %q and %q", file, tableBegin,
			tableEnd)
	}
	page = slices.Concat(before, []byte(tableBegin+r.table()+tableEnd), after)
	if err := os.WriteFile(file, page, 0o644); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}
