package wire_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

// A capture is a row of testdata/captures/INDEX.md.
type capture struct {
	name                            string
	format                          string
	packets, strict, anchored, real int
}

func captures(t *testing.T) []capture {
	t.Helper()
	index, err := os.ReadFile("testdata/captures/INDEX.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []capture
	for line := range strings.Lines(string(index)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 10 || strings.HasPrefix(line, "| capture") ||
			strings.HasPrefix(line, "|---") {
			continue
		}
		for n := range cells {
			cells[n] = strings.TrimSpace(cells[n])
		}
		number := func(n int) int {
			v, err := strconv.Atoi(cells[n])
			if err != nil {
				t.Fatalf("INDEX.md: %s: %v", line, err)
			}
			return v
		}
		all = append(all, capture{cells[0], cells[2], number(5), number(6), number(7), number(9)})
	}
	return all
}

func payloads(t *testing.T, name string) (datagrams [][]byte, times []time.Time) {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata/captures", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var d struct {
			T   float64
			Hex string
		}
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		payload, err := hex.DecodeString(d.Hex)
		if err != nil {
			t.Fatal(err)
		}
		datagrams, times = append(datagrams, payload), append(times, time.Unix(0, int64(d.T*1e9)))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return datagrams, times
}

// Every recording of a real kernel, fakes included, goes through the whole detector: a panic
// exactly where INDEX.md's strict column says so, a candidate exactly where a line of the plain
// format looks like a panic.
func TestCaptures(t *testing.T) {
	t.Parallel()
	all := captures(t)
	if len(all) != 112 {
		t.Fatalf("INDEX.md has %d rows, want 112", len(all))
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			datagrams, times := payloads(t, c.name)
			if len(datagrams) != c.packets {
				t.Fatalf("%d datagrams, INDEX.md says %d", len(datagrams), c.packets)
			}
			var s wire.Stream
			counts := map[wire.Outcome]int{}
			for n, d := range datagrams {
				e := s.Push(d, times[n])
				counts[e.Outcome]++
				if e.Outcome == wire.OutcomePanic &&
					(c.format == "legacy" || c.format == "legacy6") {
					t.Errorf("a panic in the plain format: %q", d)
				}
				if e.Order == wire.OrderForeign || e.Order == wire.OrderRestart {
					t.Errorf("%q is %s within one boot", d, e.Order)
				}
			}
			if counts[wire.OutcomePanic] != c.strict {
				t.Errorf("%d panics, want %d", counts[wire.OutcomePanic], c.strict)
			}
			if counts[wire.OutcomeCandidate] != c.anchored {
				t.Errorf("%d candidates, INDEX.md has %d", counts[wire.OutcomeCandidate],
					c.anchored)
			}
			for _, bad := range []wire.Outcome{
				wire.OutcomeMalformed, wire.OutcomeTooLong, wire.OutcomeConflict,
				wire.OutcomeDuplicate,
			} {
				if counts[bad] != 0 {
					t.Errorf("%d datagrams of a real kernel are %s", counts[bad], bad)
				}
			}
		})
	}
}

// The whole log of a boot that panicked is replayed to us after the next boot: nothing in it is a
// panic a second time.
func TestCapturesReplayedAfterReboot(t *testing.T) {
	t.Parallel()
	old, times := payloads(t, "sysrq-ext-6.1c-panic10")
	fresh, _ := payloads(t, "oops-panic-ext-6.1c")
	var s wire.Stream
	for n, d := range old {
		s.Push(d, times[n])
	}
	rebooted := times[len(times)-1].Add(time.Minute)
	if e := s.Push(fresh[0], rebooted); e.Order != wire.OrderRestart {
		t.Errorf("the first line after a reboot is %s, want restart", e.Order)
	}
	for _, d := range old {
		if e := s.Push(d, rebooted.Add(time.Second)); e.Outcome == wire.OutcomePanic {
			t.Errorf("replayed: %q is a panic again", d)
		}
	}
	var again int
	for _, d := range fresh {
		if s.Push(d, rebooted.Add(2*time.Second)).Outcome == wire.OutcomePanic {
			again++
		}
	}
	if again != 1 {
		t.Errorf("the new boot's own panic was reported %d times, want 1", again)
	}
}

// An oops of 70 lines, its panic, and what follows: all of it is there afterwards, even when the
// next boot's log has come.
func TestCapturesKeepThePanicsText(t *testing.T) {
	t.Parallel()
	datagrams, times := payloads(t, "oops-panic-ext-6.1c")
	boot, _ := payloads(t, "sysrq-modparam-6.1c")
	last := times[len(times)-1]
	var s wire.Stream
	for n, d := range datagrams {
		s.Push(d, times[n])
	}
	for _, d := range boot[:300] { // no panic among them
		s.Push(d, last.Add(time.Minute))
	}
	lines := s.Lines()
	for _, want := range []string{
		"BUG: kernel NULL pointer dereference, address: 0000000000000000",
		"Kernel panic - not syncing: Fatal exception", "Rebooting in 2 seconds..",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in %d lines", want, len(lines))
		}
	}
}
