package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

var noon = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func TestDetectPanic(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ datagram, want string }{
		"sysrq": {
			"0,377,5581801,-;Kernel panic - not syncing: sysrq triggered crash\n nodename=xyz\n",
			"sysrq triggered crash"},
		"release": {"7.3.4,0,377,5581801,-;Kernel panic - not syncing: Fatal exception\n",
			"Fatal exception"},
		"caller": {"0,1,2,-,caller=T1;Kernel panic - not syncing: Attempted to kill init!\n",
			"Attempted to kill init!"},
		"EDAC, which begins with a newline": {
			`0,1,2,-;Kernel panic - not syncing: \x0aEDAC MC0: UE page 0x0` + "\n",
			"EDAC MC0: UE page 0x0",
		},
		"of two lines": {`0,1,2,-;Kernel panic - not syncing: first\x0asecond` + "\n",
			"first second"},
		"without words": {"0,1,2,-;Kernel panic - not syncing: \n", ""},
		"first fragment": {
			"0,1,2,-,ncfrag=0/2000;Kernel panic - not syncing: long\n key=valu", "long",
		},
		"first fragment, cut in an escape": {
			`0,1,2,-,ncfrag=0/2000;Kernel panic - not syncing: long\x0`, "long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s wire.Stream
			e := s.Push([]byte(c.datagram), noon)
			if e.Outcome != wire.OutcomePanic || e.Line != c.want {
				t.Errorf("%q is %s of %q, want a panic of %q", c.datagram, e.Outcome, e.Line,
					c.want)
			}
		})
	}
}

func TestDetectNoPanic(t *testing.T) {
	t.Parallel()
	const says = "Kernel panic - not syncing: "
	for name, c := range map[string]struct {
		datagram string
		want     wire.Outcome
	}{
		"user space, daemon facility": {"8,1,2,-;" + says + "x\n", wire.OutcomeUserspace},
		"user space, facility 255":    {"2040,1,2,-;" + says + "x\n", wire.OutcomeUserspace},
		"user space, a power of two":  {"256,1,2,-;" + says + "x\n", wire.OutcomeUserspace},
		"warning":                     {"4,1,2,-;" + says + "x\n", wire.OutcomeLine},
		"alert":                       {"1,1,2,-;" + says + "x\n", wire.OutcomeLine},
		"end marker": {"0,1,2,-;---[ end " + says + "x ]---\n",
			wire.OutcomeLine},
		"newline before": {`0,1,2,-;first\x0a` + says + "x\n", wire.OutcomeLine},
		"blank before":   {"0,1,2,-; " + says + "x\n", wire.OutcomeLine},
		"name of a process": {"0,1,2,-;Kernel panic - [169]: segfault at 0\n",
			wire.OutcomeLine},
		"lower case": {"0,1,2,-;kernel panic - not syncing: x\n",
			wire.OutcomeLine},
		"other form":                    {"0,1,2,-;Kernel panic: x\n", wire.OutcomeLine},
		"dictionary":                    {"0,1,2,-;text\n " + says + "=x\n", wire.OutcomeLine},
		"dictionary, at a line's start": {"0,1,2,-;text\n" + says + "x\n", wire.OutcomeLine},
		"later fragment": {"0,1,2,-,ncfrag=900/2000;" + says + "x\n",
			wire.OutcomeFragment},
		"continued line":   {"0,1,2,+;" + says + "x\n", wire.OutcomeLine},
		"piece of a line":  {"0,1,2,c;" + says + "x\n", wire.OutcomeLine},
		"raw control byte": {"0,1,2,-;" + says + "\x1b[2J\n", wire.OutcomeLine},
		"raw UTF-8":        {"0,1,2,-;" + says + "é\n", wire.OutcomeLine},
		"time in the text": {"0,1,2,-;[    1.000000] " + says + "x\n",
			wire.OutcomeLine},
		"no extended format": {"0,1,2,-,;" + says + "x\n", wire.OutcomeLine},
		"longer than a kernel sends": {"0,1,2,-;" + says + strings.Repeat("x", 1000) + "\n",
			wire.OutcomeTooLong},
		"nothing":       {"", wire.OutcomeMalformed},
		"an empty line": {"\n" + says + "x\n", wire.OutcomeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s wire.Stream
			if e := s.Push([]byte(c.datagram), noon); e.Outcome != c.want || e.Line != "" {
				t.Errorf("%q is %s of %q, want %s", c.datagram, e.Outcome, e.Line, c.want)
			}
		})
	}
}

func TestDetectCandidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		datagram, want string
		not            bool
	}{
		"time": {datagram: "[    4.758329] Kernel panic - not syncing: sysrq\n",
			want: "sysrq"},
		"long time": {datagram: "[1234567.758329] Kernel panic - not syncing: x\n",
			want: "x"},
		"no time": {datagram: "Kernel panic - not syncing: x\n", want: "x"},
		"syslog": {datagram: "<0>[    4.758329] Kernel panic - not syncing: x\n",
			want: "x"},
		"caller": {
			datagram: "[    4.758329][   T12] Kernel panic - not syncing: x\n", want: "x"},
		"processor, no time": {datagram: "[    C3] Kernel panic - not syncing: x\n",
			want: "x"},
		"no newline": {datagram: "[    4.758329] Kernel panic - not syncing: x",
			want: "x"},
		"backslashes as they are": {datagram: `Kernel panic - not syncing: \x41`, want: `\x41`},
		"several lines": {
			datagram: "[    1.000000] Kernel panic - not syncing: x\n[    1.000000] second\n",
			want:     "x"},
		"dropped messages before": {
			datagram: "** 5 printk messages dropped **\n[    1.000000] Kernel panic - not syncing: x\n", want: "x"},
		"replaying message before": {
			datagram: "** replaying previous printk message **\n[    1.000000] Kernel panic - not syncing: x\n", want: "x"},

		"second line": {
			datagram: "[    4.796455] first\n[    4.796455] Kernel panic - not syncing: x\n",
			not:      true},
		"invented notice": {
			datagram: "** hello **\n[    4.796455] Kernel panic - not syncing: x\n", not: true},
		"two times": {
			datagram: "[    5.004887] [    1.000000] Kernel panic - not syncing: x\n", not: true},
		"time with 5 digits": {datagram: "[    5.00488] Kernel panic - not syncing: x\n",
			not: true},
		"prefix out of range": {datagram: "<2048>Kernel panic - not syncing: x\n", not: true},
		"end marker": {
			datagram: "[    5.004887] ---[ end Kernel panic - not syncing: x ]---\n", not: true},
		"name of a program": {
			datagram: "[    5.004887] process '/tmp/Kernel panic - not syncing: x' started\n",
			not:      true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := wire.OutcomeCandidate
			if c.not {
				want = wire.OutcomeLine
			}
			var s wire.Stream
			if e := s.Push([]byte(c.datagram), noon); e.Outcome != want || e.Line != c.want ||
				e.Extended {
				t.Errorf("%q is %s of %q, want %s of %q", c.datagram, e.Outcome, e.Line, want,
					c.want)
			}
		})
	}
}

// With printk.time=0 a line of user space is a datagram from its first byte, and can read like the
// extended format.
func TestDetectPlainSenderReadsExtended(t *testing.T) {
	t.Parallel()
	const forged = "0,1,2,-;Kernel panic - not syncing: forged\n"
	var plain wire.Stream
	plain.Push([]byte("a line of the plain format\n"), noon)
	if e := plain.Push([]byte(forged), noon); e.Outcome != wire.OutcomeCandidate || !e.Mixed {
		t.Errorf("from a plain sender: %s, mixed %t; want a candidate, mixed", e.Outcome, e.Mixed)
	}
	var both wire.Stream
	both.Push([]byte("6,1,1,-;a line of the extended format\n"), noon)
	both.Push([]byte("[    1.000000] a line of the plain format\n"), noon)
	e := both.Push([]byte("0,2,2,-;Kernel panic - not syncing: x\n"), noon)
	if e.Outcome != wire.OutcomePanic || !e.Mixed {
		t.Errorf("from a sender of both: %s, mixed %t; want a panic, mixed", e.Outcome, e.Mixed)
	}
	var extended wire.Stream
	if e := extended.Push([]byte(forged), noon); e.Mixed {
		t.Error("a sender of whom nothing plain was heard is mixed")
	}
}
