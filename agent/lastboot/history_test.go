package lastboot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/agent/crash"
	"github.com/epitaph-k8s/epitaph/agent/resetreason"
)

var start = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)

// A host outlives boots: its folder, and the dumps that are there.
type host struct {
	dir   string
	dumps []crash.Dump
	err   error
}

func newHost(t *testing.T) *host { return &host{dir: t.TempDir()} }

func (h *host) history() *History {
	return &History{Dir: h.dir, Dumps: func() ([]crash.Dump, error) { return h.dumps, h.err }}
}

// noted makes an agent look some time into a boot.
func (h *host) noted(t *testing.T, id string, began time.Time, after time.Duration) *End {
	t.Helper()
	end, err := h.history().Look(Moment{BootID: id, Now: began.Add(after), Uptime: after})
	if err != nil {
		t.Fatal(err)
	}
	return end
}

func (h *host) mark(t *testing.T, name, boot string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(boot+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// died is a dump of a boot that began at start, an hour later.
func died() crash.Dump {
	return crash.Dump{ID: "d1", Source: crash.Pstore, Line: "Fatal exception", After: time.Hour,
		At: start.Add(time.Hour), Log: []string{"Kernel panic"}}
}

func TestHowABootEnded(t *testing.T) {
	t.Parallel()
	again := start.Add(time.Hour + 2*time.Minute)
	panicked := End{BootID: "b1", How: Panic, Line: "Fatal exception", At: start.Add(time.Hour),
		Source: string(crash.Pstore), Log: []string{"Kernel panic"}, Found: again.Add(time.Minute),
		Back: again}
	by := func(how How) *End { return &End{BootID: "b1", How: how, Back: again} }
	with := func(f func(*crash.Dump)) *crash.Dump {
		d := died()
		f(&d)
		return &d
	}
	tests := map[string]struct {
		unit    bool
		orderly bool
		dump    *crash.Dump
		want    *End
	}{
		"nothing tells":                  {want: by(Unknown)},
		"an orderly end":                 {unit: true, orderly: true, want: by(Orderly)},
		"an orderly end, noted for once": {orderly: true, want: by(Orderly)},
		"an end that nobody noted":       {unit: true, want: by(Unclean)},
		"a panic":                        {dump: with(func(*crash.Dump) {}), want: &panicked},
		"a panic on the way down": {unit: true, orderly: true,
			dump: with(func(*crash.Dump) {}), want: &panicked},
		"a panic that was moved": {dump: with(func(d *crash.Dump) { d.At = time.Time{} }),
			want: &panicked},
		"a panic of another time": {dump: with(
			func(d *crash.Dump) { d.At = start.Add(50 * time.Minute) }), want: by(Unknown)},
		"a panic before the agent looked": {dump: with(
			func(d *crash.Dump) { d.After, d.At = 10*time.Second, time.Time{} }), want: by(
			Unknown)},
		"a panic that lies in this boot": {dump: with(
			func(d *crash.Dump) { d.After, d.At = 2*time.Hour, time.Time{} }), want: by(Unknown)},
		"a panic of an unknown time": {dump: with(func(d *crash.Dump) { d.After = 0 }),
			want: by(Unknown)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			if tc.unit {
				h.mark(t, begun, "b1")
			}
			if end := h.noted(t, "b1", start, 30*time.Second); end != nil {
				t.Errorf("of the boot before the first one, %+v is claimed", end)
			}
			if tc.orderly {
				h.mark(t, ended, "b1")
			}
			if tc.dump != nil {
				h.dumps = []crash.Dump{*tc.dump}
			}
			got := h.noted(t, "b2", again, time.Minute)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			// Another agent in the same boot says the same.
			if diff := cmp.Diff(tc.want, h.noted(t, "b2", again, time.Hour)); diff != "" {
				t.Errorf("after a restart of the agent, -want +got:\n%s", diff)
			}
		})
	}
}

// A dump stays where it is, and is the end of one boot only.
func TestADumpIsToldOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	old := died()
	old.ID = "older than the agent"
	h.dumps = []crash.Dump{old}
	h.noted(t, "b1", start, time.Minute)
	second := start.Add(2 * time.Hour)
	if end := h.noted(t, "b2", second, time.Minute); end.How != Unknown {
		t.Errorf("a dump that was there before: %+v", end)
	}
	h.dumps = append(h.dumps, crash.Dump{ID: "d2", Source: crash.Pstore,
		Line: "now", After: time.Hour, At: second.Add(time.Hour)})
	k, third := h.history(), Moment{BootID: "b3", Now: second.Add(62 * time.Minute),
		Uptime: time.Minute}
	if end, err := k.Look(third); err != nil || end.Line != "now" || end.BootID != "b2" ||
		end.Told {
		t.Fatalf("%+v, %v", end, err)
	}
	if err := errors.Join(k.Told(), k.Told()); err != nil {
		t.Fatal(err)
	}
	if end := h.noted(t, "b3", third.Now.Add(-time.Minute), time.Hour); !end.Told ||
		end.Line != "now" {
		t.Errorf("after a restart of the agent: %+v", end)
	}
	if end := h.noted(t, "b4", third.Now.Add(time.Hour), time.Minute); end.How != Unknown ||
		end.BootID != "b3" {
		t.Errorf("of the boot after that: %+v", end)
	}
}

// Pstore may become available later than the agent; much later, no dump can be the last boot's.
func TestDumpsThatComeLate(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.noted(t, "b1", start, time.Minute)
	k, again := h.history(), start.Add(61*time.Minute)
	look := func(after time.Duration) *End {
		end, err := k.Look(Moment{BootID: "b2", Now: again.Add(after), Uptime: after})
		if err != nil && !errors.Is(err, h.err) {
			t.Fatal(err)
		}
		return end
	}
	h.err = errors.New("not mounted")
	if end := look(time.Minute); end == nil || end.How != Unknown {
		t.Errorf("where nothing can be read: %+v", end)
	}
	h.dumps, h.err = []crash.Dump{died()}, nil
	if end := look(2 * time.Minute); end.How != Panic {
		t.Errorf("a dump that came late: %+v", end)
	}
	h.dumps[0].ID, h.dumps[0].Line = "d9", "another"
	if end := look(time.Hour); end.Line != "Fatal exception" {
		t.Errorf("a dump that came too late: %+v", end)
	}
}

// Setting the clock right after the boot does not make a dump another boot's.
func TestClockIsSetRight(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.noted(t, "b1", start.Add(-24*time.Hour), time.Minute)
	h.noted(t, "b1", start, 2*time.Minute)
	h.dumps = []crash.Dump{died()}
	if end := h.noted(t, "b2", start.Add(61*time.Minute), time.Minute); end.How != Panic {
		t.Errorf("%+v", end)
	}
}

func TestToldDumpsAreRemovedOnRequest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		remove bool
		source crash.Source
		want   bool
	}{
		"not asked for":  {source: crash.Pstore, want: true},
		"asked for":      {source: crash.Pstore, remove: true},
		"not in pstore":  {source: crash.Kdump, remove: true, want: true},
		"what was moved": {source: crash.SystemdPstore, remove: true, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.noted(t, "b1", start, time.Minute)
			file := filepath.Join(t.TempDir(), "dmesg-ramoops-0")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			d := died()
			d.Files, d.Source = []string{file}, tc.source
			h.dumps = []crash.Dump{d}
			k := h.history()
			k.Remove = tc.remove
			if _, err := k.Look(Moment{BootID: "b2", Now: start.Add(62 * time.Minute),
				Uptime: time.Minute}); err != nil {
				t.Fatal(err)
			}
			if err := k.Told(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(file); (err == nil) != tc.want {
				t.Errorf("%v; should be there: %v", err, tc.want)
			}
		})
	}
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.dir = filepath.Join(h.dir, "file")
	if err := os.WriteFile(h.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.history().Look(Moment{BootID: "b1", Now: start,
		Uptime: time.Minute}); err == nil {
		t.Error("it goes unsaid")
	}
	broken := newHost(t)
	broken.mark(t, "lastboot.json", "{")
	if end := broken.noted(t, "b2", start, time.Minute); end != nil {
		t.Errorf("of a file that was cut off, %+v is claimed", end)
	}
}

// What the machine says explains an end that nothing else does, and a record that was there before
// explains nothing.
func TestWhatTheMachineSays(t *testing.T) {
	t.Parallel()
	again := start.Add(time.Hour + 2*time.Minute)
	struck := resetreason.Reason{Cause: resetreason.Watchdog, Source: resetreason.BootStatus,
		Detail: "a watchdog had reset the machine"}
	record := resetreason.Reason{Cause: resetreason.Hardware, Source: resetreason.BERT, ID: "bert-1"}
	for name, tc := range map[string]struct {
		unit, orderly bool
		dump          bool
		before, now   []resetreason.Reason
		how           How
		want          resetreason.Cause
	}{
		"nothing": {unit: true, how: Unclean},
		"a watchdog": {unit: true, now: []resetreason.Reason{struck}, how: Unclean,
			want: resetreason.Watchdog},
		"a watchdog, without the unit": {now: []resetreason.Reason{struck}, how: Unknown,
			want: resetreason.Watchdog},
		"a watchdog after an orderly end": {unit: true, orderly: true,
			now: []resetreason.Reason{struck}, how: Orderly},
		"a watchdog after a panic": {unit: true, dump: true, now: []resetreason.Reason{struck},
			how: Panic},
		"a record": {unit: true, now: []resetreason.Reason{record, struck}, how: Unclean,
			want: resetreason.Hardware},
		"a record of an earlier boot": {unit: true, before: []resetreason.Reason{record},
			now: []resetreason.Reason{record}, how: Unclean},
		"and a watchdog beside it": {unit: true, before: []resetreason.Reason{record},
			now: []resetreason.Reason{record, struck}, how: Unclean, want: resetreason.Watchdog},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			if tc.unit {
				h.mark(t, begun, "b1")
			}
			look := func(id string, at time.Time, says []resetreason.Reason) *End {
				k := h.history()
				k.Reasons = func() ([]resetreason.Reason, error) { return says, nil }
				end, err := k.Look(Moment{BootID: id, Now: at.Add(time.Minute), Uptime: time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				return end
			}
			look("b1", start, tc.before)
			if tc.orderly {
				h.mark(t, ended, "b1")
			}
			if tc.dump {
				h.dumps = []crash.Dump{died()}
			}
			// Another agent in the same boot says the same.
			for range 2 {
				if end := look("b2", again, tc.now); end.How != tc.how || end.Cause != tc.want {
					t.Errorf("it ended %s, because of %q: want %s, %q", end.How, end.Cause, tc.how,
						tc.want)
				}
			}
		})
	}
}
