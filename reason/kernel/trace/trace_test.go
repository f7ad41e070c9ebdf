package trace_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/reason/kernel/trace"
	"github.com/epitaph-k8s/epitaph/test/forgeries"
)

var update = flag.Bool("update", false, "write testdata/recordings.yaml anew")

// What is read of a recording.
type read struct {
	Recordings            []string
	Functions             []string
	Release, Hardware, Is string
}

// The recordings of real kernels, from 6.1 to 7.3 on two architectures, grouped by fingerprint: one
// fault has one, whatever the machine did besides.
func TestRecordings(t *testing.T) {
	t.Parallel()
	const golden = "testdata/recordings.yaml"
	files, err := filepath.Glob("../../../netconsole/wire/testdata/captures/*.jsonl")
	if err != nil || len(files) != 112 {
		t.Fatalf("there are %d recordings: %v", len(files), err)
	}
	var got []*read
	byFingerprint := map[string]*read{}
	for _, file := range files {
		found := trace.Of(linesOf(t, file))
		print := found.Fingerprint()
		if print == "" {
			continue
		}
		r := byFingerprint[print]
		if r == nil {
			r = &read{Functions: found.Functions, Release: found.Release, Hardware: found.Hardware, Is: print}
			byFingerprint[print] = r
			got = append(got, r)
		}
		r.Recordings = append(r.Recordings, strings.TrimSuffix(filepath.Base(file), ".jsonl"))
	}
	text, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("(-want +got), -update writes it anew:\n%s", diff)
	}
}

// headers are those of the extended format: release, prefix, sequence, time, flags.
var headers = regexp.MustCompile(`^(?:[^;,]*,)?[0-9]+,[0-9]+,[0-9]+,[^;]*;`)

// linesOf are the lines of a recording, as they are stored.
func linesOf(t *testing.T, file string) (lines []string) {
	t.Helper()
	payloads, err := forgeries.Payloads(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range payloads {
		text, _, _ := bytes.Cut(payload[len(headers.Find(payload)):], []byte("\n"))
		lines = append(lines, string(reason.Clean(string(text))))
	}
	return lines
}

// What no recording has: the watchdogs, a machine check, arm64's faults, and what is no trace.
func TestOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lines []string
		want  trace.Trace
	}{
		"nothing": {nil, trace.Trace{}},
		"a soft lockup: what it interrupted": {[]string{
			"watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [worker:77]",
			"Kernel panic - not syncing: softlockup: hung tasks",
			"CPU: 3 UID: 0 PID: 77 Comm: worker Tainted: G             L     6.12.1 #1 Debian",
			"Call Trace:", "<IRQ>", "dump_stack_lvl+0x5d/0x80", "panic+0x118/0x2db",
			"watchdog_timer_fn.cold+0x5/0x5", "__hrtimer_run_queues+0x1/0x2", "hrtimer_interrupt+0x1/0x2",
			"__sysvec_apic_timer_interrupt+0x1/0x2", "sysvec_apic_timer_interrupt+0x1/0x2", "</IRQ>", "<TASK>",
			"asm_sysvec_apic_timer_interrupt+0x1a/0x20", "RIP: 0010:native_queued_spin_lock_slowpath+0x6e/0x2d0",
			"? maybe+0x1/0x2", "_raw_spin_lock+0x29/0x30", "btrfs_lock+0x1/0x2 [btrfs]", "</TASK>"},
			trace.Trace{Functions: []string{"native_queued_spin_lock_slowpath", "_raw_spin_lock", "btrfs_lock"},
				Release: "6.12.1"}},
		"a machine check: no frame is left": {[]string{
			"Kernel panic - not syncing: Fatal machine check", "Call Trace:", "<NMI>", "dump_stack_lvl+0x1/0x2",
			"panic+0x1/0x2", "mce_panic.cold+0x1/0x2", "do_machine_check+0x1/0x2", "exc_machine_check+0x1/0x2",
			"asm_exc_machine_check+0x1/0x2", "</NMI>"}, trace.Trace{}},
		"arm64, in the format of pstore": {[]string{
			"<1>[   12.345678][  T123] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000",
			"<4>[   12.345679][  T123] CPU: 2 UID: 0 PID: 9 Comm: x Not tainted 6.12.1-arm64 #1 PREEMPT Debian",
			"<4>[   12.345680][  T123] Hardware name: Ampere Altra (DT)",
			"<4>[   12.345681][  T123] pc : mlx5_poll.isra.0+0x24/0x80 [mlx5_core 9f0a1b]",
			"<4>[   12.345682][  T123] lr : not_this+0x24/0x80", "<4>[   12.345683][  T123] Call trace:",
			"<4>[   12.345684][  T123]  mlx5_poll.isra.0+0x24/0x80 [mlx5_core 9f0a1b] (P)",
			"<4>[   12.345685][  T123]  napi_poll+0x38/0x1f0", "<4>[   12.345686][  T123]  kthread+0x110/0x120",
			"<4>[   12.345687][  T123] ---[ end trace 0000000000000000 ]---",
			"<0>[   12.345688][  T123] Kernel panic - not syncing: Oops: Fatal exception in interrupt"},
			trace.Trace{Functions: []string{"mlx5_poll", "napi_poll"}, Release: "6.12.1-arm64", Hardware: "Ampere Altra (DT)"}},
		"a program that calls itself like a kernel": {[]string{
			"CPU: 0 PID: 1 Comm: Not tainted 9 #1 Not tainted 6.1.0 #1"}, trace.Trace{Release: "6.1.0"}},
		"hostile": {append([]string{"Call Trace:", strings.Repeat("a", 4096) + "+0x1/0x2", "..+0x1/0x2", "a b+0x1/0x2",
			"\x1b[2J+0x1/0x2", "x+0x1/0x2 [a]b]", "Hardware name: " + strings.Repeat("é", 400)},
			strings.Split(strings.Repeat("f+0x1/0x2\ng+0x1/0x2\n", 100), "\n")...),
			trace.Trace{Functions: append([]string{strings.Repeat("a", 128)},
				strings.Split(strings.Repeat("f g ", 8)[:len("f g f g f g f g f g f g f g f")], " ")...),
				Hardware: strings.Repeat("é", 64)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, trace.Of(tc.lines)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A fingerprint says where: offsets, addresses and the compiler's suffixes are not in it, and its
// first word is the same on all kernels and machines.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	first := trace.Trace{Functions: []string{"f", "g"}, Release: "6.1", Hardware: "a"}
	other := first
	other.Release = "6.12"
	if got, want := first.Fingerprint(), "638dd5726669-3022768b"; got != want {
		t.Errorf("it is %q, want %q for ever: records are counted by it", got, want)
	}
	if a, b := first.Fingerprint(), other.Fingerprint(); a[:12] != b[:12] || a == b {
		t.Errorf("of another kernel: %q and %q", a, b)
	}
	other.Functions = []string{"g", "f"}
	if a, b := first.Fingerprint(), other.Fingerprint(); a[:12] == b[:12] {
		t.Errorf("of other functions: %q and %q", a, b)
	}
}

func FuzzOf(f *testing.F) {
	f.Add("Call Trace:\n<IRQ>\nf+0x1/0x2\n</IRQ>\nRIP: 0010:g+0x1/0x2\nKernel panic - not syncing: x")
	f.Fuzz(func(t *testing.T, text string) {
		found := trace.Of(strings.Split(text, "\n"))
		if len(found.Functions) > trace.MaxFunctions || len(found.Release) > trace.MaxReleaseBytes ||
			len(found.Hardware) > trace.MaxHardwareBytes || len(found.Fingerprint()) > 64 {
			t.Errorf("it has no bounds: %+v", found)
		}
		for _, function := range found.Functions {
			if function == "" || len(function) > trace.MaxFunctionBytes {
				t.Errorf("the function %q", function)
			}
		}
	})
}
