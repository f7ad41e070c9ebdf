package main

import (
	_ "embed"
	"fmt"
	"regexp"

	"sigs.k8s.io/yaml"
)

// selectionFile says which of upstream's tests are run, and why others are not.
//
//go:embed selection.yaml
var selectionFile []byte

// A rule names tests by a regular expression over their full names.
type rule struct {
	Match string `json:"match"`
	// Why the tests are of interest, or why they are left out.
	Why string `json:"why"`

	match *regexp.Regexp
	// left counts the tests that the rule leaves out.
	left int
}

// A selection is what selectionFile says.
type selection struct {
	Tests   []*rule `json:"tests"`
	LeftOut []*rule `json:"leftOut"`
}

func readSelection(file []byte) (selection, error) {
	var s selection
	if err := yaml.UnmarshalStrict(file, &s); err != nil {
		return s, fmt.Errorf("read the selection: %w", err)
	}
	for _, rules := range [][]*rule{s.Tests, s.LeftOut} {
		for _, r := range rules {
			var err error
			if r.match, err = regexp.Compile(r.Match); err != nil {
				return s, fmt.Errorf("read the selection: %w", err)
			}
			if r.Match == "" || r.Why == "" {
				return s, fmt.Errorf("read the selection: %q needs both match and why", r.Match)
			}
		}
	}
	return s, nil
}

// choose returns the tests to run, in their order. A rule that fits no test is an error: upstream
// has renamed what it was for.
func (s selection) choose(all []test) ([]test, error) {
	var chosen []test
	used := map[*rule]bool{}
	for _, t := range all {
		if r := first(s.Tests, t.Name); r == nil {
			continue
		} else {
			used[r] = true
		}
		if r := first(s.LeftOut, t.Name); r != nil {
			used[r] = true
			r.left++
			continue
		}
		chosen = append(chosen, t)
	}
	for _, rules := range [][]*rule{s.Tests, s.LeftOut} {
		for _, r := range rules {
			if !used[r] {
				return nil, fmt.Errorf("the selection's rule %q fits no test of upstream's", r.Match)
			}
		}
	}
	return chosen, nil
}

// first is the first rule that fits.
func first(rules []*rule, name string) *rule {
	for _, r := range rules {
		if r.match.MatchString(name) {
			return r
		}
	}
	return nil
}
