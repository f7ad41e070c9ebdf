package resetreason

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// memoryError is the section of UEFI's Platform Memory Error Section.
var memoryError = guid("a5bc11146f644edeb8633e83ed7c83b1")

// block is a record with entries of one severity and section each.
func block(status, severity uint32, sections ...[16]byte) []byte {
	var entries []byte
	for _, s := range sections {
		entry := make([]byte, entryBytes)
		copy(entry, s[:])
		binary.LittleEndian.PutUint32(entry[entrySeverity:], severity)
		binary.LittleEndian.PutUint16(entry[entryRevision:], stamped)
		const data = 80
		binary.LittleEndian.PutUint32(entry[entryData:], data)
		entries = append(append(entries, entry...), make([]byte, stampBytes+data)...)
	}
	b := make([]byte, blockBytes)
	binary.LittleEndian.PutUint32(b, status)
	binary.LittleEndian.PutUint32(b[blockData:], uint32(len(entries)))
	binary.LittleEndian.PutUint32(b[blockSeverity:], severity)
	return append(b, entries...)
}

// at puts a file into the folder, and makes those above it.
func at(t *testing.T, content []byte, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBootErrorRecord(t *testing.T) {
	t.Parallel()
	unknown := [16]byte{1}
	for name, tc := range map[string]struct {
		region []byte
		want   string
	}{
		"none":          {},
		"empty":         {region: make([]byte, 4096)},
		"fatal, memory": {region: block(0x12, fatal, memoryError), want: "a fatal memory error"},
		"of what we do not know": {region: block(0x12, fatal, unknown),
			want: "a fatal error"},
		"the second one is known": {region: block(0x12, fatal, unknown, memoryError),
			want: "a fatal memory error"},
		"the kernel has printed it": {region: block(0, fatal, memoryError),
			want: "a fatal memory error"},
		"uncorrected": {region: block(1, recoverable, memoryError),
			want: "an uncorrected memory error"},
		"corrected": {region: block(2, 2, memoryError)},
		"noted":     {region: block(0x10, 3, memoryError)},
		"cut off":   {region: block(0x12, fatal, memoryError)[:60]},
		"a reserved region": {region: append(block(0x12, fatal, memoryError), make([]byte, 4096)...),
			want: "a fatal memory error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if tc.region != nil {
				at(t, tc.region, dir, "acpi", "tables", "data", "BERT")
			}
			got, err := Places{Firmware: dir}.Reasons()
			if err != nil {
				t.Fatal(err)
			}
			var want []Reason
			if tc.want != "" {
				want = []Reason{{Cause: Hardware, Source: BERT,
					Detail: "the firmware has recorded " + tc.want}}
			}
			for n := range got {
				if !strings.HasPrefix(got[n].ID, "bert-") {
					t.Errorf("its ID is %q", got[n].ID)
				}
				got[n].ID = ""
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// The kernel clears the status of a record when it has printed it; it stays the same record.
func TestRecordIsTheSameOnceItWasPrinted(t *testing.T) {
	t.Parallel()
	var ids []string
	for _, region := range [][]byte{block(0x12, fatal, memoryError), block(0, fatal, memoryError),
		block(0, recoverable, memoryError)} {
		dir := t.TempDir()
		at(t, region, dir, "acpi", "tables", "data", "BERT")
		got, err := Places{Firmware: dir}.Reasons()
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		ids = append(ids, got[0].ID)
	}
	if ids[0] != ids[1] || ids[1] == ids[2] {
		t.Errorf("the IDs are %q", ids)
	}
}

func TestWatchdogs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at(t, []byte("0\n"), dir, "watchdog0", "bootstatus")
	at(t, []byte("50\n"), dir, "watchdog1", "bootstatus") // 0x32
	at(t, []byte("no number\n"), dir, "watchdog2", "bootstatus")
	at(t, nil, dir, "watchdog3", "state")
	got, err := Places{Watchdogs: dir}.Reasons()
	if err != nil {
		t.Fatal(err)
	}
	want := []Reason{
		{Cause: Overheated, Source: BootStatus,
			Detail: "the machine was reset because a fan had failed"},
		{Cause: PowerLost, Source: BootStatus, Detail: "the power was too low"},
		{Cause: Watchdog, Source: BootStatus, Detail: "a watchdog had reset the machine"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestKernelLog(t *testing.T) {
	t.Parallel()
	const record = "<6>[    0.871201] BERT: Error records from previous boot:\n" +
		"<6>[    0.871202] [Hardware Error]: event severity: fatal\n" +
		"<6>[    0.871203] [Hardware Error]:  Error 0, type: fatal\n" +
		"<6>[    0.871204] [Hardware Error]:   section_type: memory error\n"
	const amd = "<6>[    0.412345] x86/amd: Previous system reset reason [0x"
	const watchdogStruck = "02000800]: hardware watchdog timer expired\n"
	watchdog := Reason{Cause: Watchdog, Source: KernelLog,
		Detail: "a watchdog had reset the machine"}
	for name, tc := range map[string]struct {
		log  string
		want []Reason
	}{
		"nothing":         {log: "<5>[    0.000000] Linux version 6.16.0\n"},
		"AMD, a watchdog": {log: amd + watchdogStruck, want: []Reason{watchdog}},
		"with the caller": {log: strings.Replace(amd, "] ", "][    T1] ", 1) + watchdogStruck,
			want: []Reason{watchdog}},
		"AMD, software": {
			log: amd + "00080800]: software wrote 0x6 to reset control register 0xCF9\n"},
		"AMD, no answer": {log: amd + "ffffffff]: unknown\n"},
		"AMD, a sync flood": {log: amd + "08000800]: an uncorrected error caused …\n",
			want: []Reason{{Cause: Hardware, Source: KernelLog,
				Detail: "an uncorrected error had flooded the data fabric"}}},
		"AMD, heat": {log: amd + "00000001]: thermal pin BP_THERMTRIP_L was tripped\n",
			want: []Reason{{Cause: Overheated, Source: KernelLog,
				Detail: "the processor's thermal pin was tripped"}}},
		"a record": {log: record, want: []Reason{{Cause: Hardware, Source: KernelLog,
			Detail: "the firmware has recorded a fatal memory error"}}},
		"a corrected one":    {log: strings.ReplaceAll(record, "fatal", "corrected")},
		"a user's words":     {log: strings.Replace(amd, "<6>", "<14>", 1) + watchdogStruck},
		"later in the boot":  {log: strings.Replace(amd, "    0.41", "  810.41", 1) + watchdogStruck},
		"within another one": {log: "<6>[    0.5] x: " + amd + watchdogStruck},
		"no record before": {
			log: strings.Replace(record, "BERT: Error records from previous boot:", "x", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Places{Log: func() (string, error) { return tc.log, nil }}.Reasons()
			if err != nil {
				t.Fatal(err)
			}
			for n := range got {
				// A record may stay for several boots.
				if record := strings.Contains(tc.log, "BERT: "); record != (got[n].ID != "") {
					t.Errorf("its ID is %q", got[n].ID)
				}
				got[n].ID = ""
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func FuzzLethal(f *testing.F) {
	f.Add(block(0x12, fatal, memoryError, [16]byte{1}))
	f.Add(make([]byte, blockBytes))
	f.Fuzz(func(t *testing.T, region []byte) {
		if what, ok := lethal(region); ok != (what != "") || len(what) > 64 {
			t.Errorf("%q, %v", what, ok)
		}
	})
}

func FuzzInLog(f *testing.F) {
	f.Add("<6>[    0.412345] x86/amd: Previous system reset reason [0x02000800]: x\n" +
		"<6>[    0.871201] BERT: Error records from previous boot:\n" +
		"<6>[    0.871202] [Hardware Error]: event severity: fatal\n")
	f.Fuzz(func(t *testing.T, log string) {
		for _, r := range inLog(log) {
			if len(r.Detail) > 128 || r.Cause == "" || r.Source != KernelLog {
				t.Errorf("%+v", r)
			}
		}
	})
}
