package crash

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// announcement is how kernel/panic.c begins, and nothing else in the kernel.
const announcement = "Kernel panic - not syncing: "

// crashes are how the kernel begins to tell of what kdump may be started for without a panic (crash_kexec of oops_end in
// arch/x86/kernel/dumpstack.c, and of die on arm64).
var crashes = []string{
	announcement, "BUG: ", "kernel BUG at ", "Oops: general protection fault", "general protection fault", "Unable to handle kernel ", "Internal error: ",
}

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

// form is how the kernel prints a line: "<0>[   12.345678][    T1] text" (info_print_prefix of kernel/printk/printk.c). Time and
// caller are there or not as the kernel was built, the prefix only where it is asked for.
var form = regexp.MustCompile(`^(?:<([0-9]{1,4})>)?(?:\[ *([0-9]{1,9}\.[0-9]{6})\])?(?:\[ *[TC][0-9]{1,9}\])? ?(.*)$`)

// lines are those of a log. With levels, a line without one is the rest of one that was cut off, and left out; so are those of
// user space.
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

// tells tells whether the line says that the kernel died. Where there are no levels, it may be any that crashes begin with.
func (l line) tells(withoutLevels bool) bool {
	if !withoutLevels {
		return l.prefix == emergency && strings.HasPrefix(l.text, announcement)
	}
	for _, c := range crashes {
		if strings.HasPrefix(l.text, c) {
			return true
		}
	}
	return false
}

// cause is what the kernel says that it died of.
func (l line) cause() string { return strings.TrimPrefix(l.text, announcement) }

// lastCause is the index of the last line that tells of the death, or -1.
func lastCause(all []line, withoutLevels bool) int {
	for n := len(all) - 1; n >= 0; n-- {
		if all[n].tells(withoutLevels) {
			return n
		}
	}
	return -1
}
