package kernel

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
)

//go:embed rules.yaml
var file []byte

var defaults = sync.OnceValue(func() []Rule {
	var all []Rule
	if err := yaml.UnmarshalStrict(file, &all); err != nil {
		panic(fmt.Sprintf("read rules.yaml: %v", err)) // a part of the program: any test finds it
	}
	return all
})

// DefaultRules are those built into the program.
func DefaultRules() []Rule { return slices.Clone(defaults()) }

// With returns own rules before others, without those of the others that have the same ID.
func With(own, others []Rule) []Rule {
	return append(slices.Clone(own), slices.DeleteFunc(slices.Clone(others), func(o Rule) bool {
		return slices.ContainsFunc(own, func(r Rule) bool { return r.ID == o.ID })
	})...)
}

// Rules are compiled rules.
type Rules struct {
	all []compiled
	// starts are the texts that a message may begin with, by their first byte.
	starts [256][]start
	byID   map[string]*compiled
	// awaited are the rules that others refer to in After and NotAfter.
	awaited map[string]bool
}

// A start is a text that rules begin with.
type start struct {
	text  string
	rules []int
}

// A RuleError is an error of one rule.
type RuleError struct {
	// Index is the position of the rule in the list.
	Index int
	Err   error
}

func (e *RuleError) Error() string { return e.Err.Error() }

func (e *RuleError) Unwrap() error { return e.Err }

// Wrongs returns the errors of single rules in the error that [Compile] returned.
func Wrongs(err error) (all []*RuleError) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	for _, e := range joined.Unwrap() {
		var r *RuleError
		if errors.As(e, &r) {
			all = append(all, r)
		}
	}
	return all
}

// Compile compiles rules. Its error joins one [RuleError] for each invalid rule.
func Compile(rules []Rule) (*Rules, error) {
	r := &Rules{all: make([]compiled, len(rules)), byID: map[string]*compiled{},
		awaited: map[string]bool{}}
	var all []error
	for n, rule := range rules {
		c, err := rule.compile()
		if err == nil && r.byID[rule.ID] != nil {
			err = fmt.Errorf("%q is also the ID of another rule: give each rule an ID of its own",
				rule.ID)
		}
		if err != nil {
			all = append(all, &RuleError{Index: n, Err: err})
			continue
		}
		r.all[n] = c
		r.byID[rule.ID] = &r.all[n]
		for _, text := range rule.Starts {
			r.start(text, n)
		}
	}
	for n, rule := range rules {
		for _, id := range slices.Concat(rule.After, rule.NotAfter) {
			r.awaited[id] = true
			if r.byID[id] == nil {
				all = append(all, &RuleError{Index: n,
					Err: fmt.Errorf("there is no rule %q that it could come after", id)})
			}
		}
	}
	return r, errors.Join(all...)
}

func (r *Rules) start(text string, rule int) {
	if text == "" {
		return
	}
	all := r.starts[text[0]]
	for n := range all {
		if all[n].text == text {
			all[n].rules = append(all[n].rules, rule)
			return
		}
	}
	r.starts[text[0]] = append(all, start{text, []int{rule}})
}

// maxMessages is at how many positions of a line a message may begin: at its beginning, and after
// the names of driver and device.
const maxMessages = 4

// maxHead is how far into a line, in bytes, a message may begin.
const maxHead = 96

// Concern reports whether any rule may match the line. Nearly always none does, so it must cost
// next to nothing.
func (r *Rules) Concern(text []byte) bool {
	for at, n := 0, 0; n < maxMessages && at < len(text); n++ {
		for i := range r.starts[text[at]] {
			if begins(text[at:], r.starts[text[at]][i].text) {
				return true
			}
		}
		behind := colon(text[at:min(len(text), maxHead)])
		if behind < 0 {
			return false
		}
		at += behind
	}
	return false
}

// candidates returns the rules that may match the line, in order.
func (r *Rules) candidates(text []byte) []int {
	var all []int
	for at, n := 0, 0; n < maxMessages && at < len(text); n++ {
		for _, s := range r.starts[text[at]] {
			if begins(text[at:], s.text) {
				all = append(all, s.rules...)
			}
		}
		behind := colon(text[at:min(len(text), maxHead)])
		if behind < 0 {
			break
		}
		at += behind
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func begins(text []byte, with string) bool {
	return len(text) >= len(with) && string(text[:len(with)]) == with
}

// colon returns where a message begins after the next ": ", or -1.
func colon(text []byte) int {
	for at := 0; ; at++ {
		n := bytes.IndexByte(text[at:], ':')
		if n < 0 || at+n+1 >= len(text) {
			return -1
		}
		if at += n; text[at+1] == ' ' {
			return at + len(": ")
		}
	}
}

// A Line is a line that the kernel wrote.
type Line struct {
	// Text is the message, escaped as the kernel escapes it.
	Text []byte
	// Subsystem is the SUBSYSTEM of its dictionary; "" if it has none.
	Subsystem string
}

// A Finding is what a line says.
type Finding struct {
	Rule Rule
	// Device is the device as the line names it; "" if it names none.
	Device string
	// Words say what failed, and how.
	Words string
	// Line is the message in plain text.
	Line string
	// Tell is set if this is to be told now.
	Tell bool
}

// find returns what the first rule says that matches the line, and that the kernel's earlier lines
// allow.
func (r *Rules) find(l Line, plain func([]byte) string,
	allows func(c *compiled, device string) bool) *Finding {
	text := plain(l.Text)
	for _, n := range r.candidates(l.Text) {
		c := &r.all[n]
		groups, fits := c.fits(l, text)
		if !fits {
			continue
		}
		device := ""
		if c.dev > 0 {
			device = groups[c.dev]
		}
		if !allows(c, device) {
			continue
		}
		f := &Finding{Rule: c.Rule, Device: device, Line: text}
		if c.Severity.Told() {
			f.Words = c.words(c.Device, groups) + ": " + c.words(c.Failure, groups)
		}
		return f
	}
	return nil
}

// Detail returns the finding in words, followed by the line itself.
func (f Finding) Detail() string { return f.Words + ": " + strings.TrimSpace(f.Line) }
