package resetreason

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
)

const (
	// maxLogBytes bounds the log that is looked at: the ring buffer of a kernel is smaller, as a
	// rule.
	maxLogBytes = 4 << 20
	// early is until when, in seconds, a kernel says it, and nobody else can have it say anything.
	early = 30
	// maxRecordLines is how many lines an error record of the firmware has at most.
	maxRecordLines = 512
)

// entry matches a line of the kernel's own, of syslog(2): "<6>[    0.482113] text".
var entry = regexp.MustCompile(
	`^<([0-7])>\[ {0,4}([0-9]{1,5})\.[0-9]{6}\](?:\[ *[TC][0-9]{1,9}\])? (.*)$`)

// resetStatus is how Linux 6.16 and later print AMD's FCH::PM::S5_RESET_STATUS
// (arch/x86/kernel/cpu/amd.c).
var resetStatus = regexp.MustCompile(
	`^x86/amd: Previous system reset reason \[0x([0-9a-f]{8})\]: `)

// bits are those of the register that say more than that software asked for a reset
// (Documentation/arch/x86/amd-debugging.rst).
var bits = []struct {
	bit    uint
	cause  Cause
	detail string
}{
	{0, Overheated, "the processor's thermal pin was tripped"},
	{1, Button, "the power button was pressed for 4 seconds"},
	{9, Overheated, "the processor's own thermal limit was reached"},
	{16, Button, "the reset pin was tripped"},
	{24, Watchdog, "the machine had not booted in time"},
	{25, Watchdog, "a watchdog had reset the machine"},
	{26, Button, "a remote reset command had arrived"},
	{27, Hardware, "an uncorrected error had flooded the data fabric"},
	{30, Hardware, "a parity error had occurred"},
}

// beginning is what drivers/acpi/apei/bert.c says before what it prints of a record; recorded is
// how it says how bad an error was (drivers/firmware/efi/cper.c).
const beginning = "BERT: Error records from previous boot:"

var (
	recorded = regexp.MustCompile(
		`^\[Hardware Error\]: event severity: (fatal|recoverable)$`)
	section = regexp.MustCompile(
		`^\[Hardware Error\]: +section_type: (PCIe error|memory error|general processor error)$`)
)

// sectionNames are ours.
var sectionNames = map[string]string{"PCIe error": "PCI Express", "memory error": "memory",
	"general processor error": "processor"}

// inLog finds what the kernel has said of the boot before, in its first seconds.
func inLog(text string) (all []Reason) {
	text = text[:min(len(text), maxLogBytes)]
	var record []string
	for line := range strings.Lines(text) {
		said, ok := kernels(line)
		if !ok {
			continue
		}
		if m := resetStatus.FindStringSubmatch(said); m != nil {
			all = append(all, status(m[1])...)
		}
		switch {
		case said == beginning:
			record = []string{said}
		case len(record) > 0 && len(record) < maxRecordLines &&
			strings.HasPrefix(said, "[Hardware Error]: "):
			record = append(record, said)
		}
	}
	return append(all, inRecord(record)...)
}

// kernels returns what the kernel itself says in a line, if it says it early.
func kernels(line string) (said string, ok bool) {
	m := entry.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
	if m == nil {
		return "", false
	}
	after, err := strconv.Atoi(m[2])
	return m[3], err == nil && after < early
}

func status(digits string) (all []Reason) {
	value, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || value == 1<<32-1 { // nothing answered
		return nil
	}
	for _, b := range bits {
		if value&(1<<b.bit) != 0 {
			all = append(all, Reason{Cause: b.cause, Source: KernelLog, Detail: b.detail})
		}
	}
	return all
}

// inRecord reads a record as the kernel printed it.
func inRecord(record []string) []Reason {
	severity, name := "", ""
	for _, said := range record {
		if m := recorded.FindStringSubmatch(said); m != nil && severity == "" {
			severity = m[1]
		}
		if m := section.FindStringSubmatch(said); m != nil && name == "" {
			name = sectionNames[m[1]]
		}
	}
	number, ok := map[string]uint32{"fatal": fatal, "recoverable": recoverable}[severity]
	if !ok {
		return nil
	}
	sum := sha256.Sum256([]byte(strings.Join(record, "\n")))
	return []Reason{{Cause: Hardware, Source: KernelLog,
		Detail: "the firmware has recorded " + describe(name, number),
		ID:     "log-" + hex.EncodeToString(sum[:8])}}
}
