package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// plain undoes what the kernel escapes, as far as lines of these tests are escaped.
func plain(text []byte) string { return strings.ReplaceAll(string(text), `\x0a`, " ") }

// An example is a line of testdata/lines.yaml.
type example struct {
	Rule, Line, Words string
	Before            []string
}

func examples(t testing.TB) []example {
	t.Helper()
	data, err := os.ReadFile("testdata/lines.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []example
	if err := yaml.UnmarshalStrict(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func compiledRules(t testing.TB, rules []Rule) *Rules {
	t.Helper()
	r, err := Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// reading returns what rules say about an example: the rule that matched, the words, and whether it
// is told.
func (e example) reading(rules *Rules) string {
	var h History
	for n, line := range e.Before {
		h.Take(rules, Line{Text: []byte(line)}, plain, noon.Add(time.Duration(n)*time.Second))
	}
	h.told = nil // what was told before does not matter here
	f := cmp.Or(h.Take(rules, Line{Text: []byte(e.Line)}, plain, noon.Add(time.Minute)), &Finding{})
	return fmt.Sprintf("rule %q, words %q, told %t", f.Rule.ID, f.Words, f.Tell)
}

func (e example) want() string {
	return fmt.Sprintf("rule %q, words %q, told %t", e.Rule, e.Words, e.Words != "")
}

func TestLines(t *testing.T) {
	t.Parallel()
	rules := compiledRules(t, DefaultRules())
	for _, e := range examples(t) {
		if got := e.reading(rules); got != e.want() {
			t.Errorf("%q after %q:\n%s, want\n%s", e.Line, e.Before, got, e.want())
		}
	}
}

// without returns the rules less one, and less what refers to it.
func without(id string) []Rule {
	var all []Rule
	for _, r := range DefaultRules() {
		if r.ID == id {
			continue
		}
		not := func(other string) bool { return other == id }
		r.NotAfter = slices.DeleteFunc(slices.Clone(r.NotAfter), not)
		r.After = slices.DeleteFunc(slices.Clone(r.After), not)
		all = append(all, r)
	}
	return all
}

func TestEveryRuleIsNeeded(t *testing.T) {
	t.Parallel()
	all := examples(t)
	for _, r := range DefaultRules() {
		rules := compiledRules(t, without(r.ID))
		if !slices.ContainsFunc(all, func(e example) bool { return e.reading(rules) != e.want() }) {
			t.Errorf("no line of testdata/lines.yaml needs the rule %s", r.ID)
		}
		if r.Source == "" {
			t.Errorf("the rule %s has no source", r.ID)
		}
	}
}

func TestEveryStartIsNeeded(t *testing.T) {
	t.Parallel()
	all := examples(t)
	for n, r := range DefaultRules() {
		for _, text := range r.Starts {
			rules := DefaultRules()
			rules[n].Starts = slices.DeleteFunc(slices.Clone(r.Starts),
				func(s string) bool { return s == text })
			if len(rules[n].Starts) == 0 {
				continue
			}
			c := compiledRules(t, rules)
			if !slices.ContainsFunc(all, func(e example) bool { return e.reading(c) != e.want() }) {
				t.Errorf("no line needs that %s starts with %q", r.ID, text)
			}
		}
	}
}

// behindNames are what the kernel writes after the name of a program, which the program chooses: 15
// bytes of anything.
var behindNames = []string{
	"[169]: segfault at 0 ip 0000000000401000 sp 00007ffe error 4 in prog[400000+1000]",
	"[169] general protection fault ip:401000 sp:7ffe error:0 in prog[400000+1000]",
	"[169] trap divide error ip:401000 sp:7ffe error:0 in prog[400000+1000]",
	"[169] bad frame in rt_sigreturn frame:00007ffe ip:401000",
	": page allocation failure: order:0, mode:0x0(), nodemask=(null)",
	" (169): drop_caches: 3",
	" invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
	" (169) used greatest stack depth: 11400 bytes left",
	"/169: potentially unexpected fatal signal 11.",
	": Core dump to |/usr/lib/systemd/systemd-coredump pipe failed",
}

// A program may have a name like the beginning of any line; the kernel then begins a line with that
// name.
func TestNameOfAProgramIsNoEvidence(t *testing.T) {
	t.Parallel()
	const nameBytes = 15
	rules := compiledRules(t, DefaultRules())
	for _, e := range examples(t) {
		for n := range nameBytes {
			for _, behind := range behindNames {
				line := e.Line[:min(n+1, len(e.Line))] + behind
				var h History
				if f := h.Take(rules, Line{Text: []byte(line)}, plain, noon); f != nil && f.Tell {
					t.Fatalf("%q is evidence by the rule %s", line, f.Rule.ID)
				}
			}
		}
	}
}

// Of a kind, something worse is told at once, and otherwise one line every ten minutes.
func TestTheWorstOfAKindIsTold(t *testing.T) {
	t.Parallel()
	const harmless, io, medium = "I/O error, dev fd0, sector 0", "I/O error, dev sda, sector 1",
		"critical medium error, dev sda, sector 2"
	rules := compiledRules(t, DefaultRules())
	var h History
	for _, step := range []struct {
		after time.Duration
		line  string
		told  bool
	}{
		{0, harmless, false},
		{time.Second, io, true},
		{2 * time.Second, io, false},
		{3 * time.Second, medium, true},
		{4 * time.Second, medium, false},
		{5 * time.Second, io, false},
		// another kind
		{6 * time.Second, "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [sh:211]", true},
		{tellAgain + 2*time.Second, io, false},
		{tellAgain + 4*time.Second, io, true},
	} {
		f := cmp.Or(h.Take(rules, Line{Text: []byte(step.line)}, plain, noon.Add(step.after)),
			&Finding{})
		if f.Tell != step.told {
			t.Errorf("%q after %s: told %t (%s), want %t", step.line, step.after, f.Tell, f.Rule.ID,
				step.told)
		}
	}
}

// What was said of a network's disk counts for as long as its rule says.
func TestWhatCameBeforeIsForgotten(t *testing.T) {
	t.Parallel()
	rules := compiledRules(t, DefaultRules())
	var h History
	h.Take(rules, Line{Text: []byte(" session5: session recovery timed out after 120 secs")}, plain,
		noon)
	for after, want := range map[time.Duration]bool{10 * time.Minute: false,
		10*time.Minute + time.Second: true} {
		if f := h.Take(rules, Line{Text: []byte("I/O error, dev sdk, sector 1")}, plain,
			noon.Add(after)); (f != nil) != want {
			t.Errorf("an I/O error after %s: %v, told: want %t", after, f, want)
		}
	}
}

// However many devices a kernel names, what is kept of them is bounded.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	rules := compiledRules(t, DefaultRules())
	var h History
	for n := range 4 * maxRemembered {
		line := fmt.Sprintf("sd 6:0:0:0: [sd%c%c] Attached SCSI removable disk", 'a'+n/26, 'a'+n%26)
		h.Take(rules, Line{Text: []byte(line)}, plain, noon.Add(time.Duration(n)*time.Second))
	}
	if len(h.seen) != maxRemembered {
		t.Errorf("%d devices are remembered, want %d", len(h.seen), maxRemembered)
	}
	last := 4*maxRemembered - 1
	line := fmt.Sprintf("I/O error, dev sd%c%c, sector 1", 'a'+last/26, 'a'+last%26)
	if f := h.Take(rules, Line{Text: []byte(line)}, plain, noon.Add(time.Hour)); f != nil {
		t.Error("the last device is forgotten before the first")
	}
}

func TestDisk(t *testing.T) {
	t.Parallel()
	for device, want := range map[string]string{
		"sda": "sda", "sda1": "sda", "sda1-8": "sda", "nvme0n1": "nvme0n1", "nvme0n1p2": "nvme0n1",
		"nvme0n1p2-8": "nvme0n1", "vdb3": "vdb",
		"dm-5": "dm-5", "mmcblk0p1": "mmcblk0", "md127": "md127", "eth0": "eth0", "": "",
	} {
		if got := disk(device); got != want {
			t.Errorf("%s is on %s, want %s", device, got, want)
		}
	}
}

func TestCompileSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := Rule{
		ID: "mine", Kind: "disk", Severity: Fatal, Starts: []string{"x"}, Match: "^x",
		Device: "disk", Failure: "x", Lasts: metav1.Duration{Duration: time.Hour},
	}
	with := func(change func(*Rule)) Rule {
		r := good
		change(&r)
		return r
	}
	for want, rules := range map[string][]Rule{
		"match is not anchored: begin it with ^":                                                      {with(func(r *Rule) { r.Match = "x" })},
		"match: error parsing regexp: missing closing ): `^(`: write a regular expression of RE2":     {with(func(r *Rule) { r.Match = "^(" })},
		"notDevices: error parsing regexp: missing closing ): `(`: write a regular expression of RE2": {with(func(r *Rule) { r.NotDevices = "(" })},
		"a rule that is Fatal needs device, failure and lasts":                                        {with(func(r *Rule) { r.Failure = "" })},
		`"mine" is also the ID of another rule: give each rule an ID of its own`:                      {good, good},
		`there is no rule "other" that it could come after`:                                           {with(func(r *Rule) { r.NotAfter = []string{"other"} })},
	} {
		_, err := Compile(rules)
		var at *RuleError
		if err == nil || err.Error() != want || !errors.As(err, &at) || at.Index != len(rules)-1 {
			t.Errorf("%v, want %q of the last rule", err, want)
		}
	}
}

func TestOwnRulesReplace(t *testing.T) {
	t.Parallel()
	own := Rule{ID: "disk-io", Kind: "disk", Severity: Harmless,
		Starts: []string{"I/O error, dev "}, Match: "^I/O error, dev "}
	all := With([]Rule{own}, DefaultRules())
	if len(all) != len(DefaultRules()) {
		t.Errorf("%d rules, want as many as before", len(all))
	}
	var h History
	if f := h.Take(compiledRules(t, all), Line{Text: []byte("I/O error, dev sda, sector 1")}, plain,
		noon); f == nil || f.Tell || f.Rule.Severity != Harmless {
		t.Errorf("%+v, want the own rule", f)
	}
}

func BenchmarkLine(b *testing.B) {
	rules := compiledRules(b, DefaultRules())
	for name, text := range map[string]string{
		"nothing": "eth0: a line of the kernel about nothing in particular, as there are many in logs",
		"driver":  "ixgbe 0000:01:00.0 eth0: NIC Link is Up 10 Gbps, Flow Control: RX/TX, as it is said when a cable is plugged",
		"found":   "critical medium error, dev sdk, sector 130611915 op 0x1:(WRITE) flags 0x0 phys_seg 13 prio class 0",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var h History
			line := Line{Text: []byte(text)}
			for b.Loop() {
				h.Take(rules, line, plain, noon)
			}
		})
	}
}
