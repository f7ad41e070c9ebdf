package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// dumped is the time of the files that are written here.
var dumped = time.Date(2026, 11, 24, 4, 17, 0, 0, time.UTC)

// places creates folders that hold the files.
func places(t *testing.T, files map[string]string) Places {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, dumped, dumped); err != nil {
			t.Fatal(err)
		}
	}
	return Places{
		Pstore: filepath.Join(dir, "pstore"), Moved: filepath.Join(dir, "moved"),
		Kdump: filepath.Join(dir, "crash"),
		Owner: uint32(os.Getuid()), //nolint:gosec // no user has another
	}
}

const (
	panicLine = "<0>[  123.456789] Kernel panic - not syncing: Fatal exception\n"
	efi       = "dmesg-efi_pstore-1795493820"
)

func TestDumps(t *testing.T) {
	t.Parallel()
	after := 123456789 * time.Microsecond
	fatal := func(d Dump) Dump {
		d.Line, d.After = "Fatal exception", after
		return d
	}
	tests := map[string]struct {
		files map[string]string
		want  []Dump
	}{
		"nothing": {},
		"a panic in ramoops": {
			files: map[string]string{
				"pstore/dmesg-ramoops-0": "Panic#2 Part1\n<6>[  123.4] eth0: up\n" + panicLine +
					"<4>[  123.460000] CPU: 0\n"},
			want: []Dump{
				fatal(Dump{Source: Pstore, At: dumped,
					Log: []string{"[  123.4] eth0: up",
						"Kernel panic - not syncing: Fatal exception", "CPU: 0"}})},
		},
		"parts in EFI variables, the last lines first": {
			files: map[string]string{
				"pstore/" + efi + "01002": "Panic#2 Part1\n<4>[  123.460000] CPU: 0\n",
				"pstore/" + efi + "02002": "Panic#2 Part2\n" + panicLine,
				"pstore/" + efi + "10002": "Panic#2 Part10\n<6>[    1.000000] older\n",
				"pstore/" + efi +
					"01001": "Oops#1 Part1\n<1>[  123.400000] BUG: unable to handle page fault\n",
			},
			want: []Dump{
				fatal(Dump{Source: Pstore, At: time.Unix(1795493820, 0),
					Log: []string{"older", "Kernel panic - not syncing: Fatal exception",
						"CPU: 0"}}),
			},
		},
		"panics of two boots in ACPI's store": {
			files: map[string]string{
				"pstore/dmesg-erst-7000000000000000001": "Panic#1 Part1\n<0>[    9.000000] Kernel panic - not syncing: one\n",
				"pstore/dmesg-erst-7000000000000000002": "Panic#1 Part2\n<6>[    8.000000] before\n",
				"pstore/dmesg-erst-7000000000000000003": "Panic#1 Part1\n<0>[    7.000000][    T1] Kernel panic - not syncing: two\n",
			},
			want: []Dump{
				{Source: Pstore, At: dumped, Line: "one", After: 9 * time.Second,
					Log: []string{"before", "Kernel panic - not syncing: one"}},
				{Source: Pstore, At: dumped, Line: "two", After: 7 * time.Second,
					Log: []string{"Kernel panic - not syncing: two"}},
			},
		},
		"an oops that user space calls a panic": {
			files: map[string]string{
				"pstore/dmesg-ramoops-0":       "Oops#1 Part1\n<12>[    9.000000] Panic#1 Part1\n<12>[    9.100000] Kernel panic - not syncing: fake\n<1>[    9.200000] BUG: oops\n",
				"pstore/pmsg-ramoops-0":        "Panic#1 Part1\n" + panicLine,
				"pstore/console-ramoops-0":     "Panic#1 Part1\n" + panicLine,
				"pstore/dmesg-ramoops-1":       panicLine,
				"pstore/dmesg-ramoops-2.enc.z": "Panic#1 Part1\n" + panicLine,
			},
		},
		"a panic whose line user space forges": {
			files: map[string]string{
				"pstore/dmesg-ramoops-0": "Panic#1 Part1\nrest<0>[  1.000000] Kernel panic - not syncing: cut\n" +
					"<12>[  122.000000] Kernel panic - not syncing: fake\n<4>[  122.100000] Kernel panic - not syncing: fake\n" + panicLine +
					"<12>[  123.500000] Kernel panic - not syncing: fake\n<0>[  123.500000] x Kernel panic - not syncing: fake\n"},
			want: []Dump{fatal(Dump{Source: Pstore, At: dumped, Log: []string{
				"Kernel panic - not syncing: fake", "Kernel panic - not syncing: Fatal exception",
				"x Kernel panic - not syncing: fake",
			}})},
		},
		"what systemd-pstore has moved": {
			files: map[string]string{
				"moved/1795493820/002/" + efi + "01002": "Panic#2 Part1\n" + panicLine,
				"moved/1795493820/002/dmesg.txt":        "Panic#2 Part1\n" + panicLine,
				"moved/dmesg-ramoops-0":                 "Panic#1 Part1\n<0>[    5.000000] Kernel panic - not syncing: flat\n",
				"moved/a/b/c/dmesg-ramoops-0":           "Panic#1 Part1\n<0>[    6.000000] Kernel panic - not syncing: too deep\n",
			},
			want: []Dump{
				fatal(Dump{Source: SystemdPstore, At: time.Unix(1795493820, 0),
					Log: []string{"Kernel panic - not syncing: Fatal exception"}}),
				{Source: SystemdPstore, Line: "flat", After: 5 * time.Second,
					Log: []string{"Kernel panic - not syncing: flat"}},
			},
		},
		"only the text that systemd-pstore has made": {
			files: map[string]string{
				"moved/179549/dmesg.txt": "dmesg-efi-179549382002001:\nPanic#1 Part2\n<6>[  120.000000] before\ndmesg-efi-179549382001001:\nPanic#1 Part1\n" + panicLine},
			want: []Dump{
				fatal(Dump{Source: SystemdPstore,
					Log: []string{"before", "Kernel panic - not syncing: Fatal exception"}})},
		},
		"kdump of Debian": {
			files: map[string]string{
				"crash/202611240417/dmesg.202611240417": "[    1.000000] Linux version 6.1\n[  123.456789] Kernel panic - not syncing: Fatal exception\n[  123.460000] CPU: 0\n"},
			want: []Dump{
				fatal(
					Dump{Source: Kdump, Log: []string{"Linux version 6.1",
						"Kernel panic - not syncing: Fatal exception", "CPU: 0"}})},
		},
		"kdump of Red Hat, of an oops, after a forged panic": {
			files: map[string]string{
				"crash/127.0.0.1-2026-11-24-04:17:00/vmcore-dmesg.txt": "[    9.000000] Kernel panic - not syncing: fake\n[   10.000000] BUG: kernel NULL pointer dereference, address: 0\n[   10.100000] Oops: 0002 [#1]\n"},
			want: []Dump{{Source: Kdump, Line: "BUG: kernel NULL pointer dereference, address: 0",
				After: 10 * time.Second, Log: []string{
					"Kernel panic - not syncing: fake",
					"BUG: kernel NULL pointer dereference, address: 0", "Oops: 0002 [#1]",
				}}},
		},
		"kdump that said nothing, and one that has not begun": {
			files: map[string]string{"crash/a/dmesg.a": "[    1.000000] Linux\n",
				"crash/b/dmesg.b": "", "crash/kexec_cmd": "x",
				"crash/dmesg.c": "[    2.000000] in no folder\n"},
			want: []Dump{
				{Source: Kdump, Line: unsaid, Log: []string{"Linux"}},
				{Source: Kdump, Line: unsaid, Log: []string{"in no folder"}},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := places(t, tc.files).Dumps()
			if diff := cmp.Diff(tc.want, got,
				cmpopts.IgnoreFields(Dump{}, "ID", "Files")); diff != "" || err != nil {
				t.Errorf("%v; -want +got:\n%s", err, diff)
			}
		})
	}
}

// What kdump was started for: exceptions of x86 by name (arch/x86/kernel/traps.c), faults
// (arch/x86/mm/fault.c, arch/arm64/mm/fault.c), bugs (lib/bug.c). Later lines of the same crash say
// less.
func TestKdumpNamesTheException(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		log  []string
		want string
	}{
		"divide error": {[]string{"divide error: 0000 [#1] SMP PTI", "CPU: 3 PID: 4711"},
			"divide error: 0000 [#1] SMP PTI"},
		"divide error since 6.10": {[]string{"Oops: divide error: 0000 [#1] SMP PTI", "CPU: 3"},
			"Oops: divide error: 0000 [#1] SMP PTI"},
		"double fault": {
			[]string{"traps: PANIC: double fault, error_code: 0x0",
				"double fault: 0000 [#1] SMP NOPTI"}, "double fault: 0000 [#1] SMP NOPTI",
		},
		"general protection fault": {
			[]string{
				"general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1] SMP PTI", "CPU: 3"},
			"general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1] SMP PTI",
		},
		"old general protection fault": {[]string{"general protection fault: 0000 [#1] SMP"},
			"general protection fault: 0000 [#1] SMP"},
		"stack segment": {[]string{"stack segment: 0000 [#1] SMP"},
			"stack segment: 0000 [#1] SMP"},
		"oops alone": {[]string{"eth0: link up", "Oops: 0000 [#1] SMP PTI"},
			"Oops: 0000 [#1] SMP PTI"},
		"page fault": {
			[]string{
				"BUG: unable to handle page fault for address: ffffb2a4c0a3f000",
				"#PF: supervisor read access in kernel mode",
				"#PF: error_code(0x0000) - not-present page", "PGD 100000067 P4D 0 ",
				"Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI",
			}, "BUG: unable to handle page fault for address: ffffb2a4c0a3f000",
		},
		"bug": {
			[]string{"kernel BUG at mm/slub.c:305!", "invalid opcode: 0000 [#1] SMP PTI"},
			"kernel BUG at mm/slub.c:305!",
		},
		"arm64": {
			[]string{
				"Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008", "Mem abort info:", "  ESR = 0x0000000096000005",
				"Internal error: Oops: 0000000096000005 [#1] SMP",
			},
			"Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
		},
		"power": {[]string{"Oops: Kernel access of bad area, sig: 11 [#1]"},
			"Oops: Kernel access of bad area, sig: 11 [#1]"},
		"an older bug": {[]string{"BUG: Bad page state in process sh  pfn:12",
			"divide error: 0000 [#2] SMP PTI"}, "divide error: 0000 [#2] SMP PTI"},
		"a panic after it": {[]string{"divide error: 0000 [#1] SMP PTI",
			"Kernel panic - not syncing: Fatal exception"}, "Fatal exception"},
		"a program's": {
			[]string{
				"traps: prog[4711] trap divide error ip:4004d6 sp:7ffd error:0 in prog[400000+1000]"}, unsaid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			for n, l := range tc.log {
				fmt.Fprintf(&log, "[ 1021.11%04d] %s\n", n, l)
			}
			got, err := places(t,
				map[string]string{
					"crash/127.0.0.1-2026-11-01/vmcore-dmesg.txt": log.String()}).Dumps()
			if err != nil || len(got) != 1 || got[0].Line != tc.want {
				t.Errorf("%+v, %v, want %q", got, err, tc.want)
			}
		})
	}
}

// A panic of several lines is one sentence, wherever it is kept.
func TestPanicOfSeveralLines(t *testing.T) {
	t.Parallel()
	const first, second = "Kernel panic - not syncing: An NMI occurred. The reason is logged in:",
		"1. Integrated Management Log (IML)"
	for name, tc := range map[string]struct{ file, log, want string }{
		"pstore": {
			"pstore/dmesg-ramoops-0", "Panic#1 Part1\n<0>[    9.000000] " + first +
				"\n<0>[    9.000000] " + second + "\n<4>[    9.000000] CPU: 3 PID: 1\n",
			"An NMI occurred. The reason is logged in: 1. Integrated Management Log (IML)",
		},
		"pstore, beginning with the second": {
			"pstore/dmesg-ramoops-0",
			"Panic#1 Part1\n<0>[    9.000000] Kernel panic - not syncing: \n<0>[    9.000000] EDAC MC0: UE page 0x0\n",
			"EDAC MC0: UE page 0x0",
		},
		"kdump": {
			"crash/a/dmesg.a", "[    9.000000] " + first + "\n" + second +
				"\n[    9.000012] CPU: 3 PID: 1\n",
			"An NMI occurred. The reason is logged in: 1. Integrated Management Log (IML)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := places(t, map[string]string{tc.file: tc.log}).Dumps()
			if err != nil || len(got) != 1 || got[0].Line != tc.want {
				t.Errorf("%+v, %v, want %q", got, err, tc.want)
			}
		})
	}
}

// A dump keeps its ID when systemd-pstore moves it.
func TestIDStays(t *testing.T) {
	t.Parallel()
	content := "Panic#1 Part1\n" + panicLine
	both, err := places(t, map[string]string{"pstore/dmesg-ramoops-0": content,
		"moved/dmesg-ramoops-0": content}).Dumps()
	if err != nil || len(both) != 1 || both[0].Source != Pstore {
		t.Fatalf("%v, %v", both, err)
	}
	other, err := places(t,
		map[string]string{"pstore/dmesg-ramoops-0": content + panicLine}).Dumps()
	if err != nil || other[0].ID == both[0].ID {
		t.Errorf("another dump has the ID %s, too: %v", other[0].ID, err)
	}
}

// Nothing is believed that does not belong to root: links, folders and files of others.
func TestOnlyTheOwnerIsBelieved(t *testing.T) {
	t.Parallel()
	const log = "[    1.000000] Kernel panic - not syncing: fake\n"
	p := places(t, map[string]string{"crash/a/dmesg.a": log, "elsewhere/dmesg.b": log})
	link := filepath.Join(p.Kdump, "link")
	if err := os.Symlink(filepath.Join(filepath.Dir(p.Kdump), "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(p.Kdump, "a", "dmesg.a"),
		filepath.Join(p.Kdump, "dmesg.link")); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Dumps(); err != nil || len(got) != 1 {
		t.Errorf("%d dumps, want the one that is no link: %v", len(got), err)
	}
	p.Owner++
	if got, err := p.Dumps(); err != nil || len(got) != 0 {
		t.Errorf("%d dumps of somebody else are believed: %v", len(got), err)
	}
}

func TestWhatIsReadIsBounded(t *testing.T) {
	t.Parallel()
	long := "Panic#1 Part1\n" + strings.Repeat("<6>[    1.000000] "+strings.Repeat("é", 300)+"\n",
		200) + panicLine + strings.Repeat("<4>[  123.5] trace\n", 100)
	got, err := places(t, map[string]string{"pstore/dmesg-ramoops-0": long}).Dumps()
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	d := got[0]
	if len(d.Log) != MaxLines || d.Line != "Fatal exception" ||
		d.Log[linesBefore] != "Kernel panic - not syncing: Fatal exception" {
		t.Errorf("%d lines, %q, %q", len(d.Log), d.Line, d.Log)
	}
	for _, l := range d.Log {
		if len(l) > maxLineBytes {
			t.Errorf("a line of %d bytes", len(l))
		}
	}
	huge := map[string]string{"crash/a/dmesg.a": strings.Repeat("[    1.000000] x\n", maxBytes/8) +
		"[  123.456789] Kernel panic - not syncing: Fatal exception\n"}
	if got, err := places(t, huge).Dumps(); err != nil || got[0].Line != "Fatal exception" {
		t.Errorf("of a long log, the end is not read: %v", err)
	}
	many := map[string]string{}
	for n := range maxFiles + 1 {
		many["crash/dmesg."+time.Unix(int64(n), 0).Format("150405")] = "[    1.000000] x\n"
	}
	if _, err := places(t, many).Dumps(); err == nil ||
		!strings.Contains(err.Error(), "holds too much: the rest was not read") {
		t.Errorf("a place with too many files: %v", err)
	}
}

// What real kernels have left: see testdata/README.md.
func TestRecordings(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		wantLine  string
		wantAfter time.Duration
		wantAt    time.Time
	}{
		"linux-6.1-ramoops": {wantLine: "sysrq triggered crash",
			wantAfter: 10120204 * time.Microsecond},
		"linux-7.3-ramoops": {wantLine: "sysrq triggered crash",
			wantAfter: 10733329 * time.Microsecond},
		"linux-7.3-oops": {},
		"linux-6.1-efi": {wantLine: "sysrq triggered crash",
			wantAfter: 7206888 * time.Microsecond, wantAt: time.Unix(1795497463, 0)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Places{Pstore: filepath.Join("testdata", name, "pstore"),
				Moved: "none", Kdump: "none", Owner: ownerOf(t, "testdata")}
			got, err := p.Dumps()
			if err != nil || (len(got) > 0) != (tc.wantLine != "") {
				t.Fatalf("%d dumps, %v", len(got), err)
			}
			if len(got) == 0 {
				return
			}
			d := got[0]
			if len(got) > 1 || d.Line != tc.wantLine || d.After != tc.wantAfter ||
				!tc.wantAt.IsZero() && !d.At.Equal(tc.wantAt) {
				t.Errorf("%d dumps, %q after %s at %s; want one, %q after %s", len(got), d.Line,
					d.After, d.At, tc.wantLine, tc.wantAfter)
			}
			if !strings.Contains(strings.Join(d.Log, "\n"),
				"Kernel panic - not syncing: "+tc.wantLine) {
				t.Errorf("the kernel's words are not among the lines: %q", d.Log)
			}
		})
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}
