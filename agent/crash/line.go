package crash

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// announcement is what kernel/panic.c, and nothing else in the kernel, begins with.
const announcement = "Kernel panic - not syncing: "

// crashes matches how the kernel begins to report what kdump may be started for without a panic
// (crash_kexec of oops_end in arch/x86/kernel/dumpstack.c, and of die on arm64).
var crashes = regexp.MustCompile(`^(?:` + announcement +
	`|BUG: |[Kk]ernel BUG at |(?:traps: )?PANIC: |(?:Oops: )*general protection fault|` +
	`Unable to handle kernel |` + exception + `)`)

// exception matches how die() reports an exception by name and number (arch/x86/kernel/traps.c):
// "divide error: 0000 [#1] SMP".
const exception = `(?:Oops: )?[a-z][a-z0-9 /-]{2,40}: [0-9a-f]{4,16} \[#[0-9]+\]`

// sequels match how the kernel goes on in the same crash: they count only if nothing better stands
// shortly before them.
var sequels = regexp.MustCompile(
	`^(?:(?:Oops: )+[0-9a-f]{4,16} \[#[0-9]+\]|Oops: [A-Z][^:]*, sig: |(?:Oops: )?invalid opcode: |Internal error: )`)

const (
	// sequelAfter is how many lines the kernel may write between the first line of a crash and its
	// sequel: arm64 explains the fault before it says "Internal error".
	sequelAfter = 24
	// maxContinued is how many further lines a cause may have.
	maxContinued = 8
)

const (
	// userspace is the first prefix that is not the kernel's own (facility 1, LOG_USER).
	userspace = 8
	// emergency is the level of a panic, of the kernel's own facility.
	emergency = 0
	// unknown is the prefix of a line that has none.
	unknown = -1
)

// A line of a kernel's log.
type line struct {
	// prefix is facility<<3 | level.
	prefix int
	after  time.Duration
	text   string
}

// form matches a line as the kernel prints it: "<0>[ 12.345678][ T1] text" (info_print_prefix of
// kernel/printk/printk.c). Time and caller depend on how the kernel was built; the prefix is there
// only on request.
var form = regexp.MustCompile(
	`^(?:<([0-9]{1,4})>)?(?:\[ *([0-9]{1,9}\.[0-9]{6})\])?(?:\[ *[TC][0-9]{1,9}\])? ?(.*)$`)

// lines parses a log. With levels, a line without one is the rest of a cut-off line, and is left
// out; so are lines of user space.
func lines(text string, levels bool) []line {
	var all []line
	for s := range strings.Lines(text) {
		l := parse(strings.TrimRight(s, "\r\n"))
		if levels && (l.prefix == unknown || l.prefix >= userspace) || l.text == "" {
			continue
		}
		all = append(all, l)
	}
	return all
}

func parse(s string) line {
	l := line{prefix: unknown, text: s}
	m := form.FindStringSubmatch(s)
	if m == nil {
		return l
	}
	if n, err := strconv.Atoi(m[1]); err == nil {
		l.prefix = n
	}
	if seconds, err := time.ParseDuration(m[2] + "s"); err == nil {
		l.after = seconds
	}
	l.text = m[3]
	return l
}

// tells reports whether the line says that the kernel died. In a log without levels, it may be any
// line that a crash begins with.
func (l line) tells(withoutLevels bool) bool {
	if !withoutLevels {
		return l.prefix == emergency && strings.HasPrefix(l.text, announcement)
	}
	return crashes.MatchString(l.text) || sequels.MatchString(l.text)
}

// sequel reports whether the line only continues the report of a crash.
func (l line) sequel() bool { return sequels.MatchString(l.text) }

// cause returns the kernel's cause of death from the nth line on. A panic of several lines is one
// record: the lines have the same time, or, if the log has no level, none.
func cause(all []line, n int) string {
	words := []string{strings.TrimSpace(strings.TrimPrefix(all[n].text, announcement))}
	if !strings.HasPrefix(all[n].text, announcement) {
		return words[0]
	}
	for _, l := range all[n+1 : min(len(all), n+1+maxContinued)] {
		if l.prefix != all[n].prefix || l.after != all[n].after && l.after != 0 ||
			all[n].after == 0 || strings.HasPrefix(l.text, "CPU: ") {
			break
		}
		words = append(words, strings.TrimSpace(l.text))
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

// lastCause returns the index of the last line that tells of the death, the first of its crash, or
// -1.
func lastCause(all []line, withoutLevels bool) int {
	last := -1
	for n := len(all) - 1; n >= 0 && (last < 0 || n >= last-sequelAfter); n-- {
		switch {
		case !all[n].tells(withoutLevels):
		case last < 0:
			last = n
		case !all[n].sequel():
			return n
		}
		if last >= 0 && !all[last].sequel() {
			return last
		}
	}
	return last
}
