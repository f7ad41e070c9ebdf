package netconsole

import (
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-k8s/epitaph/test/forgeries"
)

// Every recording of a real kernel goes through the whole detector: a node is removed exactly if
// the kernel said, in the strict format, that it panics.
func TestRecordings(t *testing.T) {
	t.Parallel()
	for _, r := range recordings(t) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := aNode("n1", "10.0.0.1")
				c := aCluster(t, node, aLease("n1"))
				p, _ := c.aReplica(t, node.UID)
				l := aListener(p, node)
				tally := map[string]int{}
				for _, payload := range r.payloads {
					p.answering.note(node.UID, time.Millisecond)
					tally[l.take(t.Context(), from1, payload, l.clock.Now()).String()]++
				}
				p.work.Wait()
				total := 0
				for n := range maps.Values(tally) {
					total += n
				}
				if total != len(r.payloads) || tally["panic"] != r.strict {
					t.Errorf("outcomes %v, want %d, %d of them panics", tally, len(r.payloads),
						r.strict)
				}
				if tally["plain-refused"] != r.anchored || tally["candidate"] != 0 {
					t.Errorf(
						"outcomes %v, want %d lines of the plain format refused, and no candidate",
						tally, r.anchored)
				}
				if removed, want := c.node(t, "n1") == nil, r.strict > 0; removed != want {
					t.Errorf("node removed: %t, want %t", removed, want)
				}
			})
		})
	}
}

// With the plain format switched on, a line of a recording that reads like a panic is a candidate
// and no more, genuine or not. The node is removed if user space is silent, and stays if it
// answers.
func TestPlainRecordingsNeedProofOfDeath(t *testing.T) {
	t.Parallel()
	for _, r := range recordings(t) {
		if !r.plain {
			continue
		}
		for life, alive := range map[string]bool{"silent": false, "alive": true} {
			t.Run(r.name+", "+life, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					node := aNode("n1", "10.0.0.1")
					c := aCluster(t, node, aLease("n1"))
					c.alive.Store(alive)
					p, _ := c.aReplica(t, node.UID)
					p.config.AcceptPlain = true
					l := aListener(p, node)
					tally := map[string]int{}
					for _, payload := range r.payloads {
						tally[l.take(t.Context(), from1, payload, l.clock.Now()).String()]++
					}
					p.work.Wait()
					if tally["candidate"] != r.anchored || tally["panic"] != 0 {
						t.Errorf("outcomes %v, want %d candidates and no panic", tally, r.anchored)
					}
					if removed, want := c.node(t, "n1") == nil,
						r.anchored > 0 && !alive; removed != want {
						t.Errorf("node removed: %t, want %t", removed, want)
					}
				})
			})
		}
	}
}

type recorded struct {
	name string
	// strict and anchored are how many datagrams say in the extended format, or seem to say in the
	// plain one, that the kernel panics.
	strict, anchored int
	plain            bool
	payloads         [][]byte
}

const captures = "wire/testdata/captures"

// recordings reads INDEX.md and the files that it names.
func recordings(t *testing.T) (all []recorded) {
	t.Helper()
	index, err := os.ReadFile(filepath.Join(captures, "INDEX.md"))
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.Lines(string(index)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(row), "|"), "|")
		if len(cells) != 10 {
			continue
		}
		strict, err := strconv.Atoi(strings.TrimSpace(cells[6]))
		if err != nil {
			continue // a heading
		}
		anchored, err := strconv.Atoi(strings.TrimSpace(cells[7]))
		if err != nil {
			t.Fatalf("INDEX.md: %s: %v", row, err)
		}
		name := strings.TrimSpace(cells[0])
		payloads, err := forgeries.Payloads(filepath.Join(captures, name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, recorded{
			name: name, strict: strict, anchored: anchored,
			plain: strings.HasPrefix(strings.TrimSpace(cells[2]), "legacy"), payloads: payloads,
		})
	}
	if len(all) != 112 {
		t.Fatalf("INDEX.md names %d recordings, want 112", len(all))
	}
	return all
}
