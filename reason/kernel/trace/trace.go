package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

const (
	// MaxFunctions is how many functions a trace has at most. Those further out say who called, and
	// differ from crash to crash of one fault.
	MaxFunctions = 16
	// MaxFunctionBytes bounds a name: the kernel's own have up to 511 (KSYM_NAME_LEN), and nearly
	// all less than 60.
	MaxFunctionBytes = 128
	// MaxReleaseBytes is the kernel's own bound (__NEW_UTS_LEN).
	MaxReleaseBytes = 64
	// MaxHardwareBytes bounds the hardware's name (the kernel's has 255).
	MaxHardwareBytes = 128
	// MaxLines is how many of the last lines are looked at.
	MaxLines = 1024
)

// A Trace is where a kernel crashed, and on what.
type Trace struct {
	// Functions are those of the stack, the innermost first; nil if no certain frame is known.
	Functions []string
	// Release is that of the kernel, such as 6.12.117+deb13-cloud-amd64.
	Release string
	// Hardware is the name of the machine's model, without its firmware.
	Hardware string
}

// Fingerprint returns two short words: the first is the same for traces of the same functions, both
// are for those of the same release and hardware besides. It is empty without functions.
func (t Trace) Fingerprint() string {
	if len(t.Functions) == 0 {
		return ""
	}
	return digest(12, t.Functions...) + "-" + digest(8, t.Release, t.Hardware)
}

// digest is short enough to be read aloud; it tells crashes apart, and proves nothing.
func digest(size int, words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\n")))
	return hex.EncodeToString(sum[:])[:size]
}

const announcement = "Kernel panic - not syncing: "

// The lines of a crash: arch/x86/kernel/dumpstack.c and arch/arm64/kernel/{process,stacktrace}.c;
// the header is dump_stack_print_info of lib/dump_stack.c. Comm is up to 15 bytes of a program's
// choice, so the last "ainted" counts.
var (
	// prefix is what printk puts before a line of the plain format, and of what pstore keeps.
	prefix = regexp.MustCompile(`^(?:<[0-9]{1,4}>)?(?:\[ *[0-9]{1,9}\.[0-9]{6}\])?(?:\[ *[TC][0-9]{1,9}\])? ?`)
	frame  = regexp.MustCompile(`^ *([A-Za-z0-9_.$]+)\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[[^\]]*\])?(?: \([A-Z]+\))?$`)
	at     = regexp.MustCompile(`^(?:RIP: [0-9a-f]{4}:|pc : )([A-Za-z0-9_.$]+)\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[[^\]]*\])?(?: \([A-Z]+\))?$`)
	header = regexp.MustCompile(`^CPU: [0-9]+ (?:UID: [0-9]+ )?PID: [0-9]+ Comm: .*(?:Not tainted|Tainted: [A-Z ]+?) +([0-9][A-Za-z0-9._+~-]*) #[0-9]`)
	// interrupts are the stacks on which the kernel does something else than its current task.
	interrupts = []string{"<IRQ>", "<SOFTIRQ>", "<NMI>", "<HARDIRQ>"}
	// ends are where a trace is over, if not another begins.
	ends = []string{"---[ end ", "Modules linked in:", "Kernel Offset:", "Rebooting in ",
		announcement}
)

const (
	model = "Hardware name: "
	bios  = ", BIOS "
)

// Of reads a trace from the lines of a kernel's log, oldest first. Of several traces it takes the
// one after the announcement of the panic, or the last before it if that has nothing but how the
// panic came about.
func Of(lines []string) Trace {
	var r reader
	for _, line := range lines[max(0, len(lines)-MaxLines):] {
		r.take(line[len(prefix.FindString(line)):])
	}
	r.finish()
	t := r.trace
	for _, functions := range [][]string{r.after, r.before} {
		if len(functions) > 0 {
			t.Functions = functions
			break
		}
	}
	return t
}

// A reader goes through the lines of a log.
type reader struct {
	trace Trace
	// announced is set from the announcement of the panic on.
	announced bool
	// before and after are the functions of the last trace before the announcement, and of the
	// first after it that has any.
	before, after []string
	// pc is the function that a report names before its trace.
	pc string
	// open is the trace that is being read.
	open *stack
}

// A stack holds the functions of a trace: of interrupts, and of what they interrupted.
type stack struct {
	interrupt, task []string
	inInterrupt     bool
}

// push adds a function, a recursive one once: how deep it was is chance, and a machine that sends
// in both formats sends each line twice.
func (s *stack) push(function string) {
	to := &s.task
	if s.inInterrupt {
		to = &s.interrupt
	}
	if n := len(*to); n == 0 || (*to)[n-1] != function {
		*to = append(*to, function)
	}
}

// functions are those of the interrupt, because what it interrupted is chance; those of the task if
// the interrupt itself did nothing but look, as a watchdog does.
func (s *stack) functions() []string {
	all := s.interrupt
	if len(all) == 0 {
		all = s.task
	}
	return all[:min(len(all), MaxFunctions)]
}

func (r *reader) take(line string) {
	text := strings.TrimSpace(line)
	switch {
	case strings.HasPrefix(text, announcement):
		r.finish()
		r.announced = true
	case hasAnyPrefix(text, ends):
		r.finish()
	case text == "Call Trace:" || text == "Call trace:":
		pc := r.pc
		r.finish()
		r.open = &stack{}
		r.push(pc)
	case r.open != nil && slices.Contains(interrupts, text):
		// What stands before it is where the interrupt was in.
		r.open.interrupt, r.open.task = append(r.open.interrupt, r.open.task...), nil
		r.open.inInterrupt = true
	case r.open != nil && strings.HasPrefix(text, "</"):
		r.open.inInterrupt = false
	case strings.HasPrefix(text, model):
		name, _, _ := strings.Cut(strings.TrimPrefix(text, model), bios)
		r.trace.Hardware = bounded(strings.TrimSpace(name), MaxHardwareBytes)
	default:
		r.word(text)
	}
}

// word takes a line that names a function, or the kernel's release.
func (r *reader) word(text string) {
	if m := frame.FindStringSubmatch(text); m != nil {
		if r.open != nil {
			r.push(m[1])
		}
		return
	}
	if m := at.FindStringSubmatch(text); m != nil {
		if r.open != nil {
			r.push(m[1])
		} else {
			r.pc = m[1]
		}
		return
	}
	if m := header.FindStringSubmatch(text); m != nil {
		r.trace.Release = bounded(m[1], MaxReleaseBytes)
	}
}

// push adds a function to the trace, without what the compiler has added to its name.
func (r *reader) push(function string) {
	name, _, _ := strings.Cut(strings.TrimLeft(function, "."), ".")
	if name = bounded(name, MaxFunctionBytes); name != "" && !leftOut().has(name) {
		r.open.push(name)
	}
}

// finish ends the trace that is being read.
func (r *reader) finish() {
	r.pc = ""
	if r.open == nil {
		return
	}
	functions := r.open.functions()
	r.open = nil
	switch {
	case len(functions) == 0 || r.announced && len(r.after) > 0:
	case r.announced:
		r.after = functions
	default:
		r.before = functions
	}
}

func hasAnyPrefix(text string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(text, p) })
}

// bounded cuts a text to at most so many bytes of valid UTF-8.
func bounded(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.ToValidUTF8(s, "")
}
