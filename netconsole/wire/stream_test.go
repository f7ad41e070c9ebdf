package wire_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

const panicked = "0,20,9000000,-;Kernel panic - not syncing: real\n token=abc\n"

// Whoever can send in the node's name must not be able to turn its panic into a duplicate.
func TestStreamPanicIsNotSilenced(t *testing.T) {
	t.Parallel()
	for name, before := range map[string][]string{
		"lines with the numbers to come": forgedLines(10, 60),
		"numbers out of reach":           {"6,18446744073709551615,18446744073709551615,-;x\n"},
		"numbers that restart":           {"6,9000,99000000,-;x\n", "6,0,0,-;x\n"},
		"a panic with another secret": {
			"0,20,9000000,-;Kernel panic - not syncing: real\n token=xyz\n"},
		"a panic at another time": {
			"0,20,9000001,-;Kernel panic - not syncing: real\n token=abc\n"},
		"half of it, contradicted": {
			"0,20,9000000,-,ncfrag=0/100;Kernel", "0,20,9000000,-,ncfrag=0/200;Kernel",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s wire.Stream
			for _, d := range before {
				s.Push([]byte(d), noon)
			}
			if e := s.Push([]byte(panicked), noon); e.Outcome != wire.OutcomePanic {
				t.Errorf("the panic is %s", e.Outcome)
			}
			for range 3 {
				if e := s.Push([]byte(panicked),
					noon.Add(time.Hour)); e.Outcome != wire.OutcomeDuplicate || e.Line != "" {
					t.Errorf("the panic again is %s of %q, want a duplicate", e.Outcome, e.Line)
				}
			}
		})
	}
}

func forgedLines(from, to int) []string {
	var all []string
	for seq := from; seq < to; seq++ {
		all = append(all, fmt.Sprintf("6,%d,9000000,-;forged\n", seq))
	}
	return all
}

func TestStreamDuplicates(t *testing.T) {
	t.Parallel()
	var s wire.Stream
	var got []string
	for _, d := range []string{
		"6,5,100,-;five\n", "6,5,100,-;five\n", "6,7,300,-;seven\n", "6,6,200,-;six\n",
		"6,6,200,-;six\n", "6,7,300,-;seven\n",
		"6,8,400,-;eight\n",
	} {
		got = append(got, s.Push([]byte(d), noon).Outcome.String())
	}
	if diff := cmp.Diff([]string{"line", "duplicate", "line", "line", "duplicate", "duplicate",
		"line"},
		got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"five", "seven", "six", "eight"}, s.Lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestStreamOrder(t *testing.T) {
	t.Parallel()
	type arrival struct {
		at          time.Duration
		seq, micros uint64
		want        wire.Order
	}
	const second = 1_000_000
	for name, arrivals := range map[string][]arrival{
		"in order, with a gap": {
			{0, 5, 1 * second, wire.OrderFirst}, {time.Second, 6, 2 * second, wire.OrderNext},
			{time.Minute, 900, 61 * second, wire.OrderNext},
		},
		"overtaken": {
			{0, 5, 100 * second, wire.OrderFirst}, {0, 7, 100 * second, wire.OrderNext},
			{0, 6, 100 * second, wire.OrderEarlier},
		},
		"overtaken early in a boot": {
			{0, 7, 200, wire.OrderFirst}, {time.Millisecond, 6, 100, wire.OrderEarlier},
		},
		"stamps of two processors": {
			{0, 5, 100*second + 30, wire.OrderFirst}, {0, 6, 100 * second, wire.OrderNext},
		},
		"reboot": {
			{0, 900, 100 * second, wire.OrderFirst},
			{time.Minute, 353, 3 * second, wire.OrderRestart},
			{time.Minute + time.Second, 354, 4 * second, wire.OrderNext},
		},
		"reboot, heard late, at a higher number": {
			{0, 353, 100 * second, wire.OrderFirst},
			{time.Minute, 400, 30 * second, wire.OrderRestart},
		},
		"the log is printed again": {
			{0, 353, 100 * second, wire.OrderFirst},
			{10 * time.Second, 10, 20 * second, wire.OrderEarlier},
			{10 * time.Second, 11, 21 * second, wire.OrderEarlier},
			{10 * time.Second, 354, 110 * second, wire.OrderNext},
		},
		"an old message of the same boot": {
			{0, 353, 100 * second, wire.OrderFirst},
			{30 * time.Second, 354, 130 * second, wire.OrderNext},
			{60 * time.Second, 353, 100 * second, wire.OrderEarlier},
		},
		"a boot that is no younger": {
			{0, 353, 100 * second, wire.OrderFirst},
			{10 * time.Second, 400, 20 * second, wire.OrderForeign},
			{10 * time.Second, 20, 500 * second, wire.OrderForeign},
			{11 * time.Second, 354, 111 * second, wire.OrderNext},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s wire.Stream
			for n, a := range arrivals {
				d := fmt.Sprintf("6,%d,%d,-;x\n", a.seq, a.micros)
				if e := s.Push([]byte(d), noon.Add(a.at)); e.Order != a.want {
					t.Errorf("message %d is %s, want %s", n, e.Order, a.want)
				}
			}
		})
	}
}

func TestStreamLines(t *testing.T) {
	t.Parallel()
	var s wire.Stream
	if got := s.Lines(); len(got) != 0 {
		t.Errorf("lines of a silent sender: %q", got)
	}
	for _, d := range []string{
		`12,1,1,-;kept \x0a escaped` + "\n key=not kept\n",
		"** 5 printk messages dropped **\n[    1.000000] both\n",
		"4,2,2,-;" + strings.Repeat("x", 900) + "\n",
	} {
		s.Push([]byte(d), noon)
	}
	want := []string{
		`kept \x0a escaped`, "** 5 printk messages dropped **", "[    1.000000] both",
		strings.Repeat("x", 512),
	}
	if diff := cmp.Diff(want, s.Lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestStreamHoldsThePanic(t *testing.T) {
	t.Parallel()
	flood := func(s *wire.Stream, text string, from int, at time.Time) {
		for n := range 1000 {
			s.Push(fmt.Appendf(nil, "6,%d,%d,-;%s %d\n", from+n, 9000000+n, text, n), at)
		}
	}
	var s wire.Stream
	flood(&s, "before", 0, noon)
	s.Push([]byte("0,2000,9100000,-;Kernel panic - not syncing: x\n"), noon)
	flood(&s, "after", 2001, noon)
	lines := strings.Join(s.Lines(), "\n")
	if size := len(lines); size > wire.RingBytes || size < wire.RingBytes*9/10 {
		t.Errorf("%d bytes of lines, want nearly %d", size, wire.RingBytes)
	}
	for _, want := range []string{"before 999\nKernel panic - not syncing: x\nafter 0\nafter 1\n",
		"before 800\n", "after 150\n"} {
		if !strings.Contains(lines, want) {
			t.Errorf("%q is not among the lines:\n%s", want, lines)
		}
	}
	flood(&s, "much later", 4000, noon.Add(11*time.Minute))
	if lines := s.Lines(); lines[0] == "before 999" || lines[len(lines)-1] != "much later 999" {
		t.Errorf("the ring does not go on: %q … %q", lines[0], lines[len(lines)-1])
	}
}

// A forged panic, after which the node went on talking, must not keep the genuine one's own line
// out of its text.
func TestStreamHoldsALaterPanicToo(t *testing.T) {
	t.Parallel()
	extended, plain := "0,%d,9100000,-;Kernel panic - not syncing: %s\n",
		"[    %d.100000] Kernel panic - not syncing: %s\n"
	for name, formats := range map[string]struct{ forged, genuine string }{
		"both extended":     {extended, extended},
		"both plain":        {plain, plain},
		"extended to plain": {extended, plain},
		"plain to extended": {plain, extended},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s wire.Stream
			s.Push(fmt.Appendf(nil, formats.forged, 1, "forged"), noon)
			for n := range 1000 {
				s.Push(fmt.Appendf(nil, "6,%d,%d,-;a living node's line\n", 10+n, 9100000+n), noon)
			}
			s.Push(fmt.Appendf(nil, formats.genuine, 2000, "genuine"), noon.Add(time.Minute))
			s.Push([]byte("4,2001,9200000,-;Call Trace:\n"), noon.Add(time.Minute))
			lines := s.Lines()
			if len(lines) < 2 || !strings.HasSuffix(lines[len(lines)-2], "genuine") ||
				lines[len(lines)-1] != "Call Trace:" {
				t.Errorf("the genuine panic and what follows are not the last lines:\n%s",
					strings.Join(lines, "\n"))
			}
		})
	}
}

func TestOutcomesHaveNames(t *testing.T) {
	t.Parallel()
	want := []string{
		"line", "userspace", "fragment", "panic", "panic-rest", "candidate", "duplicate",
		"conflict", "too-long", "malformed",
	}
	var got []string
	for _, o := range wire.Outcomes {
		got = append(got, o.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if got := wire.Outcome(0).String(); got != "invalid" {
		t.Errorf("the zero value is %q", got)
	}
}
