package watchdog

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLacking(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		all  []Watchdog
		want string
	}{
		"none": {want: "there is no hardware watchdog"},
		"fed": {all: []Watchdog{
			{Name: "watchdog0", Identity: "i6300ESB timer", Timeout: "30", Fed: true}}},
		"not fed": {all: []Watchdog{{Name: "watchdog0", Identity: "iTCO_wdt"}},
			want: "watchdog0 (iTCO_wdt) is not fed by user space"},
		"a timer of the kernel": {all: []Watchdog{
			{Name: "watchdog0", Identity: "Software Watchdog",
				Fed: true}}, want: "watchdog0 (Software Watchdog) dies with the kernel"},
		"one of two": {all: []Watchdog{
			{Name: "watchdog0", Identity: "Software Watchdog"},
			{Name: "watchdog1", Identity: "iTCO_wdt", Fed: true}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Lacking(tc.all); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, value := range map[string]string{
		"watchdog0/identity": "i6300ESB timer", "watchdog0/state": "active",
		"watchdog0/timeout": "30", "watchdog1/identity": "old one",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := In(dir)
	want := []Watchdog{{Name: "watchdog0", Identity: "i6300ESB timer", Timeout: "30", Fed: true},
		{Name: "watchdog1", Identity: "old one"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; -want +got:\n%s", err, diff)
	}
	if got, err := In(filepath.Join(dir, "nothing")); err != nil || got != nil {
		t.Errorf("where there is no folder: %v, %v", got, err)
	}
	if _, err := In(filepath.Join(dir, "watchdog0/state")); err == nil {
		t.Error("a folder that is none goes unsaid")
	}
}
