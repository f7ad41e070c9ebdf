package wire

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
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
		if len(cells) != 10 || strings.HasPrefix(line, "| capture") || strings.HasPrefix(line, "|---") {
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

// Every recording of a real kernel, fakes included: a panic exactly where INDEX.md's strict column says so.
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
			var s Stream
			counts := map[Outcome]int{}
			for n, d := range datagrams {
				counts[s.Push(d, times[n]).Outcome]++
			}
			if counts[OutcomePanic] != c.strict {
				t.Errorf("%d panics, want %d", counts[OutcomePanic], c.strict)
			}
			if (counts[OutcomeCandidate] > 0) != (c.anchored > 0) {
				t.Errorf("%d candidates, INDEX.md has %d lines that look like a panic", counts[OutcomeCandidate], c.anchored)
			}
			for _, bad := range []Outcome{OutcomeMalformed, OutcomeTooLong, OutcomeConflict} {
				if counts[bad] != 0 {
					t.Errorf("%d datagrams of a real kernel are %s", counts[bad], bad)
				}
			}
		})
	}
}
