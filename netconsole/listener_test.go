package netconsole

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/reason/kernel"
)

// rules are those that come with the program.
var rules = func() *kernel.Rules {
	r, err := kernel.Compile(kernel.DefaultRules())
	if err != nil {
		panic(err)
	}
	return r
}()

// aListener listens to the nodes for a replica, without a socket.
func aListener(p *panicHandler, nodes ...*corev1.Node) *Listener {
	l := &Listener{config: p.config, addresses: newAddresses(rules), handler: p,
		metrics: p.metrics, clock: p.clock, log: logr.Discard()}
	for _, n := range nodes {
		l.addresses.set(n)
	}
	return l
}

var from1 = netip.MustParseAddrPort("10.0.0.1:665")

func (l *Listener) hears(t *testing.T, from netip.AddrPort,
	datagrams ...string) (outcomes []string) {
	t.Helper()
	for _, d := range datagrams {
		outcomes = append(outcomes, l.take(t.Context(), from, []byte(d), l.clock.Now()).String())
	}
	l.handler.work.Wait()
	return outcomes
}

const (
	// panicDatagram is signed if the node has published the token's hash.
	panicDatagram = "0,400,9000000,-;Kernel panic - not syncing: sysrq triggered crash\n epitaph-token=" + aSecret + "\n"
	unsignedPanic = "0,400,9000000,-;Kernel panic - not syncing: sysrq triggered crash\n"
	plainPanic    = "[    9.000000] Kernel panic - not syncing: sysrq triggered crash\n"
)

func TestEveryDatagramHasOneOutcome(t *testing.T) {
	t.Parallel()
	plain := func(n *config.Netconsole) { n.AcceptPlain = true }
	privileged := func(n *config.Netconsole) { n.RequirePrivilegedPort = true }
	tests := map[string]struct {
		configure func(*config.Netconsole)
		from      string
		before    string
		datagram  string
		want      string
		removed   bool
		verdict   verdict
	}{
		"a panic": {datagram: panicDatagram,
			want: "panic", removed: true},
		"a panic on a dual-stack socket": {from: "[::ffff:10.0.0.1]:665",
			datagram: panicDatagram, want: "panic", removed: true},
		"a stranger's panic": {from: "10.0.0.2:665", datagram: panicDatagram,
			want: "unknown-sender"},
		"a panic from a contested address": {from: "10.0.0.9:665", datagram: panicDatagram,
			want: "contested-sender"},
		"a panic from any port": {from: "10.0.0.1:6665", datagram: panicDatagram,
			want: "panic", removed: true},
		"a panic from a port anybody can have": {configure: privileged,
			from: "10.0.0.1:6665", datagram: panicDatagram, want: "unprivileged-port"},
		"a panic from a port that is held": {configure: privileged, datagram: panicDatagram,
			want: "panic", removed: true},
		"a plain panic": {datagram: plainPanic, want: "plain-refused"},
		"a panic after plain text": {before: "[    1.000000] hello\n",
			datagram: panicDatagram, want: "candidate", removed: true},
		"a panic without the token": {datagram: unsignedPanic,
			want: "panic", verdict: verdictUnproven},
		"a plain panic, switched on": {configure: plain, datagram: plainPanic,
			want: "candidate", verdict: verdictUnproven},
		"user space that says so": {
			datagram: "12,400,9000000,-;Kernel panic - not syncing: fake\n", want: "userspace"},
		"another level": {
			datagram: "4,400,9000000,-;Kernel panic - not syncing: fake\n", want: "line"},
		"nothing": {datagram: "", want: "malformed"},
		"too much": {datagram: "0,1,1,-;" + strings.Repeat("x", 2000),
			want: "too-long"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node, other, third := signed(aNode("n1", "10.0.0.1", "10.0.0.9")),
					aNode("n2", "10.0.0.9"), aNode("n3")
				other.Status.NodeInfo.BootID = "another machine's"
				c := aCluster(t, node, other, third)
				p, _ := c.aReplica(t, node.UID, other.UID)
				if tc.configure != nil {
					tc.configure(&p.config)
				}
				from := from1
				if tc.from != "" {
					from = netip.MustParseAddrPort(tc.from)
				}
				l := aListener(p, node, other, third)
				if tc.before != "" {
					l.hears(t, from, tc.before)
				}
				if got := l.hears(t, from, tc.datagram); got[0] != tc.want {
					t.Errorf("outcome %q, want %q", got[0], tc.want)
				}
				if tc.verdict != "" && p.judged(tc.verdict) != 1 {
					t.Errorf("no verdict %q", tc.verdict)
				}
				if removed := c.node(t, "n1") == nil; removed != tc.removed {
					t.Errorf("node removed: %t, want %t", removed, tc.removed)
				}
			})
		})
	}
}

func TestABatchIsCounted(t *testing.T) {
	t.Parallel()
	c := aCluster(t)
	p, _ := c.aReplica(t)
	l := aListener(p, aNode("n1", "10.0.0.1"))
	line := []byte("6,1,1,-;hello\n")
	stranger := netip.MustParseAddrPort("10.0.0.2:665")
	l.takeAll(t.Context(), []datagram{{from1, line}, {stranger, line}, {from1, line},
		{stranger, line}, {stranger, nil}})
	for outcome, want := range map[string]float64{"line": 1, "duplicate": 1, "unknown-sender": 3} {
		if got := l.counted(outcome); got != want {
			t.Errorf("%v datagrams counted as %s, want %v", got, outcome, want)
		}
	}
}

func (l *Listener) counted(outcome string) float64 {
	for _, o := range allOutcomes() {
		if o.String() == outcome {
			return testutil.ToFloat64(l.metrics.datagrams[o])
		}
	}
	return -1
}

func TestOutcomesHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, o := range allOutcomes() {
		if name := o.String(); seen[name] || strings.HasPrefix(name, "invalid") {
			t.Errorf("outcome %d is called %q", o, name)
		} else {
			seen[name] = true
		}
	}
}

// An unsigned panic that does not fit the boot the kernel spoke from before may have been recorded
// in another boot: a node that is silent for as long as a reboot takes is not removed for it.
func TestReplayedPanicIsDoubted(t *testing.T) {
	t.Parallel()
	const hour = 3600 * 1000000
	const believed, doubted = 40 * time.Second, 10 * time.Minute
	tests := map[string]struct {
		before string
		later  time.Duration
		panic  string
		want   time.Duration
	}{
		"of this boot": {before: line(100, hour), later: time.Minute,
			panic: panicAt(120, hour+60*1000000), want: believed},
		"late by seconds": {before: line(100, hour), later: time.Minute,
			panic: panicAt(120, hour+55*1000000), want: believed},
		"after hours of drift": {before: line(100, hour), later: 10 * time.Hour,
			panic: panicAt(120, 11*hour-30*1000000), want: believed},
		"overtaken by a later line": {before: line(100, hour), panic: panicAt(90, hour),
			want: believed},
		"of nothing known": {panic: panicAt(120, hour), want: believed},
		"recorded in an earlier, younger boot": {before: line(100, hour), later: time.Minute,
			panic: panicAt(120, 7*60*1000000), want: doubted},
		"recorded in an earlier, older boot": {before: line(100, hour), later: time.Minute,
			panic: panicAt(120, 9*hour), want: doubted},
		"of an impossible time": {before: line(100, hour),
			panic: panicAt(120, 1<<63), want: doubted},
		"with a number far behind": {before: line(5000, hour),
			panic: panicAt(120, hour), want: doubted},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := aNode("n1", "10.0.0.1")
				c := aCluster(t, node, aLease("n1"))
				p, _ := c.aReplica(t, node.UID)
				l := aListener(p, node)
				if tc.before != "" {
					l.hears(t, from1, tc.before)
				}
				time.Sleep(tc.later)
				p.answering.note(node.UID, time.Millisecond)
				c.renews(t, p, "n1")
				start := time.Now()
				l.hears(t, from1, tc.panic)
				if took := time.Since(start); p.judged(verdictDead) != 1 || took < tc.want ||
					took > tc.want+5*time.Second {
					t.Errorf("dead: %v, after %s; want 1, after %s", p.judged(verdictDead), took,
						tc.want)
				}
			})
		})
	}
}

func line(seq, micros uint64) string { return fmt.Sprintf("6,%d,%d,-;hello\n", seq, micros) }

func panicAt(seq, micros uint64) string {
	return fmt.Sprintf("0,%d,%d,-;Kernel panic - not syncing: boom\n", seq, micros)
}

func TestUninterestingDatagramsAllocateNothing(t *testing.T) {
	c := aCluster(t)
	p, _ := c.aReplica(t)
	p.config.AcceptNodeNames = true
	l := aListener(p, aNode("n1", "10.0.0.1"))
	stranger := netip.MustParseAddrPort("192.0.2.1:665")
	now := time.Now()
	lines, fragments := make([][]byte, 2000), make([][]byte, 2000)
	for n := range lines {
		lines[n] = []byte(line(uint64(n), uint64(n)*100))
		fragments[n] = fmt.Appendf(nil, "6,%d,9,-,ncfrag=%d/4000;x", n, n)
	}
	l.take(t.Context(), from1, lines[0], now)
	for what, d := range map[string]struct {
		from netip.AddrPort
		next func(n int) []byte
	}{
		"a line of a node": {from1,
			func(n int) []byte { return lines[n%len(lines)] }},
		"a repeated line":      {from1, always(line(0, 0))},
		"a stranger's line":    {stranger, always(line(0, 0))},
		"a stranger's panic":   {stranger, always(panicDatagram)},
		"a plain line":         {from1, always("[    1.000000] hello")},
		"what cannot be read":  {from1, always("\n")},
		"a fragment of a node": {from1, always("6,9,9,-,ncfrag=0/900;half of it")},
		"fragments that complete nothing": {from1,
			func(n int) []byte { return fragments[n%len(fragments)] }},
	} {
		n := 0
		allocations := testing.AllocsPerRun(500, func() {
			n++
			l.take(t.Context(), d.from, d.next(n), now)
		})
		if allocations > 0 {
			t.Errorf("%s costs %v allocations, want 0", what, allocations)
		}
	}
}

// Whatever is sent: no crash, one outcome that has a name, and no more memory than a stream may
// have.
func FuzzTake(f *testing.F) {
	f.Add([]byte(panicDatagram))
	f.Add([]byte(plainPanic))
	f.Add([]byte("0,400,9000000,-,ncfrag=0/400;Kernel panic - not syncing: boom\n epitaph-token="))
	f.Add([]byte("6.1.0-1-amd64,6,1,1,-;hello\n epitaph-node=n1\n epitaph-token=" + aSecret + "\n"))
	known := map[string]bool{}
	for _, o := range allOutcomes() {
		known[o.String()] = true
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		node := signed(aNode("n1", "10.0.0.1"))
		c := aCluster(t) // without the Node, no panic comes to trial
		p, _ := c.aReplica(t)
		p.config.AcceptPlain, p.config.AcceptNodeNames = true, true
		l := aListener(p, node)
		for _, from := range []netip.AddrPort{from1, netip.MustParseAddrPort("192.0.2.1:665")} {
			if o := l.take(t.Context(), from, payload, startOfBubble); !known[o.String()] {
				t.Errorf("outcome %s", o)
			}
		}
		s, _ := l.addresses.find(from1.Addr())
		for _, line := range s.lines() {
			if _, err := reason.ParseText(line); line != "" && err != nil {
				t.Errorf("line %q: %v", line, err)
			}
		}
	})
}

func always(datagram string) func(int) []byte {
	payload := []byte(datagram)
	return func(int) []byte { return payload }
}
