package wire

// White-box: a small pool shows what a large one does when it is full.

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// smallMemory has room for the lines of some senders and for the fragments of fewer.
func smallMemory(rings, desks int) *Memory {
	return &Memory{pool[ringBytes]{size: rings}, pool[desk]{size: desks}}
}

// More senders than there is room for lose lines, but never see each other's, and what is left is
// what they said last.
func TestSharedMemoryIsNeverMixedUp(t *testing.T) {
	t.Parallel()
	const senders = 24
	memory := smallMemory(8, 4)
	var shared [senders]*Stream
	var alone [senders]Stream // what each would keep with memory of its own
	for n := range shared {
		shared[n] = memory.NewStream()
	}
	random := rand.New(rand.NewPCG(3, 4))
	now, lost, held, completed := time.Unix(1_800_000_000, 0), 0, 0, 0
	for seq := range 40_000 {
		n := random.IntN(senders)
		text := fmt.Sprintf("sender %d says %d %s", n, seq,
			strings.Repeat(string(rune('a'+n)), random.IntN(300)))
		for _, d := range datagrams(random, seq, text) {
			a, b := shared[n].Push(d, now), alone[n].Push(d, now)
			if a.Outcome == b.Outcome && string(a.Record.Body) != string(b.Record.Body) {
				t.Fatalf("%q became %q", d, a.Record.Body)
			}
			if a.Outcome == OutcomeLine && !strings.HasPrefix(string(a.Record.Body),
				fmt.Sprintf("sender %d says %d ", n, seq)) {
				t.Fatalf("sender %d is said to have said %q", n, a.Record.Body)
			}
			if a.Outcome == OutcomeLine && len(d) > 0 && strings.Contains(string(d), "ncfrag") {
				completed++
			}
		}
		now = now.Add(time.Duration(random.IntN(10)) * time.Millisecond)
		if seq%50 != 0 {
			continue
		}
		for n := range shared {
			lines := shared[n].Lines()
			if i := slices.IndexFunc(lines,
				func(line string) bool {
					return !strings.HasPrefix(line, fmt.Sprintf("sender %d ", n))
				}); i >= 0 {
				t.Fatalf("sender %d is said to have said %q", n, lines[i])
			}
			if len(lines) == 0 {
				lost++
			} else {
				held++
			}
		}
	}
	if lost == 0 || held == 0 || completed == 0 {
		t.Errorf("%d rings were lost, %d kept, %d messages put together: this tested nothing", lost,
			held, completed)
	}
}

// datagrams returns those of one message, sometimes cut.
func datagrams(random *rand.Rand, seq int, text string) [][]byte {
	if random.IntN(3) > 0 || len(text) < 40 {
		return [][]byte{fmt.Appendf(nil, "6,%d,%d,-;%s\n", seq, seq, text)}
	}
	body := text + "\n"
	cut := 1 + random.IntN(len(body)-1)
	return [][]byte{
		fmt.Appendf(nil, "6,%d,%d,-,ncfrag=0/%d;%s", seq, seq, len(body), body[:cut]),
		fmt.Appendf(nil, "6,%d,%d,-,ncfrag=%d/%d;%s", seq, seq, cut, len(body), body[cut:]),
	}
}

// The words around a panic stay while others speak, as long as there is anything else to take.
func TestLinesOfAPanicAreSpared(t *testing.T) {
	t.Parallel()
	memory, now := smallMemory(8, 4), time.Unix(1_800_000_000, 0)
	dying := memory.NewStream()
	dying.Push([]byte("4,1,9,-;an oops\n"), now)
	if e := dying.Push([]byte("0,2,9,-;Kernel panic - not syncing: sysrq\n"),
		now); e.Outcome != OutcomePanic {
		t.Fatal("the panic was not recognised")
	}
	flood := func() {
		for n := range 100 {
			memory.NewStream().Push(fmt.Appendf(nil, "6,%d,9,-;chatter\n", n), now)
		}
	}
	flood()
	want := []string{"an oops", "Kernel panic - not syncing: sysrq"}
	if got := dying.Lines(); !slices.Equal(got, want) {
		t.Errorf("the lines are %q, want %q", got, want)
	}
	dying.Release()
	flood()
	if got := dying.Lines(); got != nil {
		t.Errorf("the lines of what was no panic are %q, want none", got)
	}
}

// If everything is kept, something goes: a forger who invents many panics does not get more memory.
func TestMemoryIsBoundedWhereAllIsKept(t *testing.T) {
	t.Parallel()
	memory, now := smallMemory(8, 4), time.Unix(1_800_000_000, 0)
	for n := range 10_000 {
		s := memory.NewStream()
		if e := s.Push(fmt.Appendf(nil, "0,%d,9,-;Kernel panic - not syncing: %d\n", n, n),
			now); e.Outcome != OutcomePanic {
			t.Fatal("the panic was not recognised")
		}
		if got, want := s.Lines(), fmt.Sprintf("Kernel panic - not syncing: %d",
			n); len(got) != 1 || got[0] != want {
			t.Fatalf("the lines are %q, want %q", got, want)
		}
	}
	if n := len(memory.rings.slots); n != 8 {
		t.Errorf("there are %d rings, want 8", n)
	}
}
