package kernel

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Severity says how much a line means.
type Severity string

// The severities, the least first.
const (
	// Harmless lines are no evidence: corrected errors, errors of the program, devices that are not
	// the node's.
	Harmless Severity = "Harmless"
	// Remembered lines are no evidence either, but say what the lines after them are about: see
	// [Rule.NotAfter].
	Remembered Severity = "Remembered"
	// Trouble is the kernel's own, which it survives: it tells something only if the node then
	// falls silent.
	Trouble Severity = "Trouble"
	// Failing is hardware whose error was not corrected, and that may go on working.
	Failing Severity = "Failing"
	// Fatal is hardware that does not work any more.
	Fatal Severity = "Fatal"
)

// Severities are all there are, the least first.
func Severities() []Severity { return []Severity{Harmless, Remembered, Trouble, Failing, Fatal} }

// worse tells whether a is worse than b.
func (s Severity) worse(than Severity) bool {
	return slices.Index(Severities(), s) > slices.Index(Severities(), than)
}

// Told tells whether a line of this severity becomes evidence.
func (s Severity) Told() bool { return s.worse(Remembered) }

// A Rule says what one kind of line means. The first rule that matches a line wins.
type Rule struct {
	// ID names the rule. A rule of the configuration replaces the one that comes with the program
	// under the same ID.
	ID string `json:"id" validate:"required,dnslabel"`
	// Kind is the part of the machine. Of one kind, a line is told every ten minutes, and a worse
	// one at once.
	Kind string `json:"kind" validate:"required,dnslabel"`
	// Severity of the line.
	Severity Severity `json:"severity" validate:"required,oneof=Harmless Remembered Trouble Failing Fatal"`
	// Starts are texts of which one stands where the line begins, or behind one of its first
	// colons: a rule is tried only there.
	Starts []string `json:"starts" validate:"required,min=1,max=32,dive,required,max=64"`
	// Match is a regular expression (RE2) for the whole line, anchored with ^ at its beginning. Its
	// group (?P<dev>…) is the device.
	Match string `json:"match" validate:"required,max=1024"`
	// Subsystem, where set, is one of which the line must be: SUBSYSTEM of its dictionary.
	Subsystem []string `json:"subsystem,omitempty" validate:"max=16,dive,required,max=64"`
	// NotDevices is a regular expression for devices that are not meant.
	NotDevices string `json:"notDevices,omitempty" validate:"max=512"`
	// After are IDs of rules of which one must have matched a line of this kernel before, and
	// NotAfter of which none may have: of the same device, where both lines name one. How long that
	// counts, their Lasts says.
	After    []string `json:"after,omitempty" validate:"max=16,dive,required"`
	NotAfter []string `json:"notAfter,omitempty" validate:"max=16,dive,required"`
	// Device and Failure say in words what failed, and how; {dev}, and the names of other groups,
	// stand for what they found.
	Device  string `json:"device,omitempty" validate:"max=64"`
	Failure string `json:"failure,omitempty" validate:"max=128"`
	// Lasts is for how long after the line the node may go because of it.
	Lasts metav1.Duration `json:"lasts,omitzero" validate:"mindur=0s,maxdur=720h"`
	// Source is the file of the kernel, or the public report, that has the line.
	Source string `json:"source,omitempty"`
}

// wrongs returns what is wrong with the rule beyond its fields' own bounds.
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

// fits tells whether the rule matches the line, and returns what its groups found.
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

// words fill what stands for groups.
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
