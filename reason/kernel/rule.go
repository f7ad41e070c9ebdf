package kernel

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Severity is how serious a line is.
type Severity string

// The severities, least serious first.
const (
	// Harmless lines are no evidence: corrected errors, errors of the program, devices that are not
	// the node's.
	Harmless Severity = "Harmless"
	// Remembered lines are no evidence either, but say what the lines after them are about: see
	// [Rule.NotAfter].
	Remembered Severity = "Remembered"
	// Trouble is the kernel's own, which it survives: it means something only if the node then
	// falls silent.
	Trouble Severity = "Trouble"
	// Failing is hardware whose error was not corrected, and that may go on working.
	Failing Severity = "Failing"
	// Fatal is hardware that no longer works.
	Fatal Severity = "Fatal"
)

// Severities returns all severities, least serious first.
func Severities() []Severity { return []Severity{Harmless, Remembered, Trouble, Failing, Fatal} }

// worse reports whether s is more serious than the other.
func (s Severity) worse(than Severity) bool {
	return slices.Index(Severities(), s) > slices.Index(Severities(), than)
}

// Told reports whether a line of this severity becomes evidence.
func (s Severity) Told() bool { return s.worse(Remembered) }

// A Rule says what one kind of line means. The first rule that matches a line wins.
type Rule struct {
	// ID names the rule. A rule of the configuration replaces the built-in one of the same ID.
	ID string `json:"id" validate:"required,dnslabel"`
	// Kind is the part of the machine. Of one kind, a line is told every ten minutes, and a worse
	// one at once.
	Kind string `json:"kind" validate:"required,dnslabel"`
	// Severity of the line.
	Severity Severity `json:"severity" validate:"required,oneof=Harmless Remembered Trouble Failing Fatal"`
	// Starts are texts. A rule is tried only on lines that begin with one of them, or have one
	// after one of the first colons.
	Starts []string `json:"starts" validate:"required,min=1,max=32,dive,required,max=64"`
	// Match is a regular expression (RE2) for the whole line, anchored with ^ at its beginning. Its
	// group (?P<dev>…) is the device.
	Match string `json:"match" validate:"required,max=1024"`
	// Subsystem, if set, lists the values of which the line must have one: SUBSYSTEM of its
	// dictionary.
	Subsystem []string `json:"subsystem,omitempty" validate:"max=16,dive,required,max=64"`
	// NotDevices is a regular expression for devices to which the rule does not apply.
	NotDevices string `json:"notDevices,omitempty" validate:"max=512"`
	// After are IDs of rules of which one must have matched an earlier line of this kernel, and
	// NotAfter of which none may have: for the same device, if both lines name one. Their Lasts is
	// how long that counts.
	After    []string `json:"after,omitempty" validate:"max=16,dive,required"`
	NotAfter []string `json:"notAfter,omitempty" validate:"max=16,dive,required"`
	// Device and Failure say in words what failed, and how; {dev}, and the names of other groups,
	// stand for what these matched.
	Device  string `json:"device,omitempty" validate:"max=64"`
	Failure string `json:"failure,omitempty" validate:"max=128"`
	// Lasts is for how long after the line the node may go because of it.
	Lasts metav1.Duration `json:"lasts,omitzero" validate:"mindur=0s,maxdur=720h"`
	// Source is the file of the kernel, or the public report, that has the line.
	Source string `json:"source,omitempty"`
}

// compile compiles the rule, and checks what the bounds of its fields do not cover.
func (r Rule) compile() (c compiled, err error) {
	c.Rule = r
	if !strings.HasPrefix(r.Match, "^") {
		return c, errors.New("match is not anchored: begin it with ^")
	}
	if c.match, err = regexp.Compile(r.Match); err != nil {
		return c, fmt.Errorf("match: %w: write a regular expression of RE2", err)
	}
	if r.NotDevices != "" {
		if c.notDevices, err = regexp.Compile(r.NotDevices); err != nil {
			return c, fmt.Errorf("notDevices: %w: write a regular expression of RE2", err)
		}
	}
	if r.Severity.Told() && (r.Device == "" || r.Failure == "" || r.Lasts.Duration <= 0) {
		return c, fmt.Errorf("a rule that is %s needs device, failure and lasts", r.Severity)
	}
	c.dev = c.match.SubexpIndex("dev")
	return c, nil
}

// A compiled rule.
type compiled struct {
	Rule

	match, notDevices *regexp.Regexp
	dev               int
}

// fits reports whether the rule matches the line, and returns what its groups matched.
func (c *compiled) fits(l Line, text string) (groups []string, ok bool) {
	if len(c.Subsystem) > 0 && !slices.Contains(c.Subsystem, l.Subsystem) {
		return nil, false
	}
	if groups = c.match.FindStringSubmatch(text); groups == nil {
		return nil, false
	}
	if c.notDevices != nil && c.dev > 0 && c.notDevices.MatchString(groups[c.dev]) {
		return nil, false
	}
	return groups, true
}

// words replaces the names of groups in a template by what these matched.
func (c *compiled) words(template string, groups []string) string {
	if !strings.Contains(template, "{") {
		return template
	}
	var fill []string
	for n, name := range c.match.SubexpNames() {
		if name != "" {
			fill = append(fill, "{"+name+"}", groups[n])
		}
	}
	return strings.Join(strings.Fields(strings.NewReplacer(fill...).Replace(template)), " ")
}
