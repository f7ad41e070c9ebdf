package terminal

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestColoursOnATerminalOnly(t *testing.T) {
	t.Parallel()
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if ColoursFor(file, func(string) string { return "" }) {
		t.Error("a file gets colours")
	}
}

func TestNoColour(t *testing.T) {
	t.Parallel()
	// A terminal of our own: what is written to it comes out at its other end.
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED: /dev/ptmx is missing, which makes pseudo terminals: %v", err)
	}
	defer terminal.Close()
	tests := map[string]struct {
		env  map[string]string
		want Colours
	}{
		"a terminal":           {nil, true},
		"NO_COLOR is honoured": {map[string]string{"NO_COLOR": "1"}, false},
		"a dumb terminal":      {map[string]string{"TERM": "dumb"}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ColoursFor(terminal,
				func(key string) string { return tc.env[key] }); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestCleanLines(t *testing.T) {
	t.Parallel()
	if got, want := CleanLines("a\x1b[2J\n    b\r"), "a\\x1b[2J\n    b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestColumnsGrow(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	c := Columns{Out: &out}
	for _, row := range [][]string{{"POD", "REASON"}, {"nightly-report-7v9nl", "a\x1b[2J"},
		{"web-ä", ""}} {
		if err := c.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	want := "POD         REASON\nnightly-report-7v9nl  a\\x1b[2J\nweb-ä                 -\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
