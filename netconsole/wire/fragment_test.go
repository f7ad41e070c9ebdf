package wire_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

// A step is one datagram and what must become of it.
type step struct {
	datagram string
	want     wire.Outcome
	after    time.Duration // since the first step
}

func TestFragments(t *testing.T) {
	t.Parallel()
	const (
		one   = `6,7,9,-,ncfrag=0/17;a\x0` // the escape is cut
		two   = `6,7,9,-,ncfrag=4/17;ab` + "\n"
		three = "6,7,9,-,ncfrag=7/17; k=v\n l=w\n"
	)
	fragment, line := wire.OutcomeFragment, wire.OutcomeLine
	for name, c := range map[string]struct {
		steps []step
		want  string // the text and the value of l, of what was put together
	}{
		"in order": {[]step{{one, fragment, 0}, {two, fragment, 0}, {three, line, 0}}, "a\nb w"},
		"reversed": {[]step{{three, fragment, 0}, {two, fragment, 0}, {one, line, 0}}, "a\nb w"},
		"mixed":    {[]step{{two, fragment, 0}, {one, fragment, 0}, {three, line, 0}}, "a\nb w"},
		"duplicates": {[]step{{two, fragment, 0}, {two, wire.OutcomeDuplicate, 0},
			{one, fragment, 0}, {one, wire.OutcomeDuplicate, 0}, {three, line, 0}}, "a\nb w"},
		"late": {[]step{{one, fragment, 0}, {two, fragment, time.Second},
			{three, line, time.Second}}, "a\nb w"},
		"too late": {[]step{{one, fragment, 0}, {two, fragment, time.Second},
			{three, fragment, time.Second + 1}}, ""},
		"lost": {[]step{{one, fragment, 0}, {three, fragment, 0}}, ""},
		"lost, and then all of it again": {
			[]step{{one, fragment, 0}, {three, fragment, 0}, {one, fragment, 2 * time.Second},
				{two, fragment, 2 * time.Second}, {three, line, 2 * time.Second}}, "a\nb w",
		},
		"another total": {[]step{{one, fragment, 0},
			{"6,7,9,-,ncfrag=4/18;ab\n", wire.OutcomeConflict, 0}, {two, fragment, 0},
			{three, fragment, 0}}, ""},
		"another prefix": {[]step{{one, fragment, 0},
			{"4,7,9,-,ncfrag=4/17;ab\n", wire.OutcomeConflict, 0}}, ""},
		"another flag": {[]step{{one, fragment, 0},
			{"6,7,9,c,ncfrag=4/17;ab\n", wire.OutcomeConflict, 0}}, ""},
		"other bytes": {[]step{{one, fragment, 0},
			{`6,7,9,-,ncfrag=0/17;b\x0`, wire.OutcomeConflict, 0}}, ""},
		"overlaps the one before": {[]step{{one, fragment, 0},
			{"6,7,9,-,ncfrag=3/17;0ab", wire.OutcomeConflict, 0}}, ""},
		"overlaps the one behind": {[]step{{two, fragment, 0},
			{`6,7,9,-,ncfrag=0/17;a\x0a`, wire.OutcomeConflict, 0}}, ""},
		"lies within": {[]step{{three, fragment, 0},
			{"6,7,9,-,ncfrag=8/17;k", wire.OutcomeConflict, 0}}, ""},
		"lies around": {[]step{{two, fragment, 0},
			{`6,7,9,-,ncfrag=0/17;a\x0ab` + "\n ", wire.OutcomeConflict, 0}}, ""},
		"more than is put together": {[]step{{"6,7,9,-,ncfrag=0/4097;x", wire.OutcomeTooLong, 0}},
			""},
		"of two messages": {
			[]step{{one, fragment, 0}, {"6,8,9,-,ncfrag=0/4;ab", fragment, 0}, {two, fragment, 0},
				{three, line, 0}, {"6,8,9,-,ncfrag=2/4;c\n", line, 0}}, "a\nb w",
		},
		"of three messages: the oldest is given up": {
			[]step{
				{one, fragment, 0}, {"6,8,9,-,ncfrag=0/4;ab", fragment, 1},
				{"6,9,9,-,ncfrag=0/4;ab", fragment, 2}, {two, fragment, 3},
				{"6,9,9,-,ncfrag=2/4;c\n", line, 4}, {three, fragment, 5}, {one, line, 6},
			}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s wire.Stream
			var got string
			for n, d := range c.steps {
				e := s.Push([]byte(d.datagram), noon.Add(d.after))
				if e.Outcome != d.want {
					t.Errorf("datagram %d, %q, is %s, want %s", n, d.datagram, e.Outcome, d.want)
				}
				if e.Outcome == wire.OutcomeLine && e.Record.Seq == 7 {
					l, _ := e.Record.Value("l")
					got = fmt.Sprintf("%s %s", wire.Unescape(nil, e.Record.Text()), l)
				}
			}
			if c.want != "" && got != c.want {
				t.Errorf("put together: %q, want %q", got, c.want)
			}
		})
	}
}

func TestFragmentsTooMany(t *testing.T) {
	t.Parallel()
	var s wire.Stream
	var got []wire.Outcome
	for n := range 17 {
		got = append(got, s.Push(fmt.Appendf(nil, "6,7,9,-,ncfrag=%d/100;x", 2*n), noon).Outcome)
	}
	want := append(slicesOf(wire.OutcomeFragment, 16), wire.OutcomeConflict)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func slicesOf(o wire.Outcome, n int) []wire.Outcome {
	all := make([]wire.Outcome, n)
	for i := range all {
		all[i] = o
	}
	return all
}

// A panic is reported at its first fragment, once; its userdata comes when it is whole.
func TestFragmentsOfPanic(t *testing.T) {
	t.Parallel()
	const (
		head  = `0,7,9,-,ncfrag=0/59;Kernel panic - not syncing: long\x0`
		tail  = "0,7,9,-,ncfrag=35/59;atext\n token=abc\n key=v\n"
		again = wire.OutcomeDuplicate
	)
	for name, c := range map[string]struct {
		steps []step
		lines []string
	}{
		"in order": {[]step{{head, wire.OutcomePanic, 0}, {head, again, 0},
			{tail, wire.OutcomePanicRest, 0}}, []string{"long", "", "long text"}},
		"the rest comes first": {[]step{{tail, wire.OutcomeFragment, 0},
			{head, wire.OutcomePanic, 0}}, []string{"", "long text"}},
		"the rest is late": {[]step{{head, wire.OutcomePanic, 0},
			{tail, wire.OutcomeFragment, 2 * time.Second}}, []string{"long", ""}},
		"the rest contradicts": {
			[]step{{head, wire.OutcomePanic, 0},
				{strings.Replace(tail, "0,7", "4,7", 1), wire.OutcomeConflict, 0}}, []string{"long",
				""},
		},
		"too long to be put together": {
			[]step{{"0,7,9,-,ncfrag=0/70000;Kernel panic - not syncing: x\n a=b", wire.OutcomePanic,
				0}}, []string{"x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s wire.Stream
			for n, d := range c.steps {
				e := s.Push([]byte(d.datagram), noon.Add(d.after))
				if e.Outcome != d.want || e.Line != c.lines[n] {
					t.Errorf("datagram %d is %s of %q, want %s of %q", n, e.Outcome, e.Line, d.want,
						c.lines[n])
				}
				if token, _ := e.Record.Value("token"); strings.Contains(c.lines[n], "text") &&
					string(token) != "abc" {
					t.Errorf("datagram %d: token %q", n, token)
				}
			}
			if got := s.Lines(); len(got) != 1 ||
				!strings.HasPrefix(got[0], "Kernel panic - not syncing: ") {
				t.Errorf("lines: %q", got)
			}
		})
	}
}

// What reads like a panic only once its fragments are reassembled is not a panic: a kernel's first
// fragment holds all of the words.
func TestFragmentsMakeNoPanic(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][]step{
		"cut in the words": {
			{"0,7,9,-,ncfrag=0/30;Kernel panic ", wire.OutcomeFragment, 0},
			{"0,7,9,-,ncfrag=13/30;- not syncing: x\n", wire.OutcomeLine, 0},
		},
		"the first one is user space's": {
			{"12,7,9,-,ncfrag=0/33;Kernel panic - not syncing: x", wire.OutcomeFragment, 0},
			{"0,7,9,-,ncfrag=29/33; y\n", wire.OutcomeConflict, 0},
		},
		"the first one is user space's and comes last": {
			{"0,7,9,-,ncfrag=29/33; yz\n", wire.OutcomeFragment, 0},
			{"12,7,9,-,ncfrag=0/33;Kernel panic - not syncing: x", wire.OutcomeConflict, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s wire.Stream
			for n, d := range steps {
				if e := s.Push([]byte(d.datagram), noon); e.Outcome != d.want || e.Line != "" {
					t.Errorf("datagram %d is %s of %q, want %s", n, e.Outcome, e.Line, d.want)
				}
			}
		})
	}
}
