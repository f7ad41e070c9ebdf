package netconsole

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// aListener hears the nodes for a replica, without a socket.
func aListener(u *undertaker, nodes ...*corev1.Node) *Listener {
	l := &Listener{config: u.config, addresses: newAddresses(), undertaker: u, metrics: u.metrics, clock: u.clock, log: logr.Discard()}
	for _, n := range nodes {
		l.addresses.set(n)
	}
	return l
}

var from1 = netip.MustParseAddrPort("10.0.0.1:665")

func (l *Listener) hears(t *testing.T, from netip.AddrPort, datagrams ...string) (outcomes []string) {
	t.Helper()
	for _, d := range datagrams {
		outcomes = append(outcomes, l.take(t.Context(), from, []byte(d), l.clock.Now()).String())
	}
	l.undertaker.work.Wait()
	return outcomes
}

const (
	panicDatagram = "0,400,9000000,-;Kernel panic - not syncing: sysrq triggered crash\n"
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
		buried    bool
		verdict   verdict
	}{
		"a panic":                              {datagram: panicDatagram, want: "panic", buried: true},
		"a panic on a dual-stack socket":       {from: "[::ffff:10.0.0.1]:665", datagram: panicDatagram, want: "panic", buried: true},
		"a stranger's panic":                   {from: "10.0.0.2:665", datagram: panicDatagram, want: "unknown-sender"},
		"a panic from a contested address":     {from: "10.0.0.9:665", datagram: panicDatagram, want: "contested-sender"},
		"a panic from any port":                {from: "10.0.0.1:6665", datagram: panicDatagram, want: "panic", buried: true},
		"a panic from a port anybody can have": {configure: privileged, from: "10.0.0.1:6665", datagram: panicDatagram, want: "unprivileged-port"},
		"a panic from a port that is held":     {configure: privileged, datagram: panicDatagram, want: "panic", buried: true},
		"a plain panic":                        {datagram: plainPanic, want: "plain-refused"},
		"a panic after plain text": {
			before: "[    1.000000] hello\n", datagram: panicDatagram, want: "candidate", verdict: verdictUnproven,
		},
		"a plain panic, switched on": {configure: plain, datagram: plainPanic, want: "candidate", buried: true},
		"user space that says so":    {datagram: "12,400,9000000,-;Kernel panic - not syncing: fake\n", want: "userspace"},
		"another level":              {datagram: "4,400,9000000,-;Kernel panic - not syncing: fake\n", want: "line"},
		"nothing":                    {datagram: "", want: "malformed"},
		"too much":                   {datagram: "0,1,1,-;" + strings.Repeat("x", 2000), want: "too-long"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node, other, third := aNode("n1", "10.0.0.1", "10.0.0.9"), aNode("n2", "10.0.0.9"), aNode("n3")
				c := aCluster(t, node, other, third)
				u, _ := c.aReplica(t, node.UID, other.UID)
				if tc.configure != nil {
					tc.configure(&u.config)
				}
				from := from1
				if tc.from != "" {
					from = netip.MustParseAddrPort(tc.from)
				}
				l := aListener(u, node, other, third)
				if tc.before != "" {
					l.hears(t, from, tc.before)
				}
				if got := l.hears(t, from, tc.datagram); got[0] != tc.want {
					t.Errorf("outcome %q, want %q", got[0], tc.want)
				}
				if tc.verdict != "" && u.judged(tc.verdict) != 1 {
					t.Errorf("no verdict %q", tc.verdict)
				}
				if buried := c.node(t, "n1") == nil; buried != tc.buried {
					t.Errorf("node buried: %t, want %t", buried, tc.buried)
				}
			})
		})
	}
}

func TestABatchIsCounted(t *testing.T) {
	t.Parallel()
	c := aCluster(t)
	u, _ := c.aReplica(t)
	l := aListener(u, aNode("n1", "10.0.0.1"))
	line := []byte("6,1,1,-;hello\n")
	stranger := netip.MustParseAddrPort("10.0.0.2:665")
	l.takeAll(t.Context(), []datagram{{from1, line}, {stranger, line}, {from1, line}, {stranger, line}, {stranger, nil}})
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

// aSecret is a token, and signed a node that has told the API of it.
const aSecret = "c29tZSBzZWNyZXQgb2YgdGhpcyBib290"

func signed(node *corev1.Node) *corev1.Node {
	hash := sha256.Sum256([]byte(aSecret))
	node.Annotations = map[string]string{config.TokenKey: hex.EncodeToString(hash[:])}
	return node
}

func TestToken(t *testing.T) {
	t.Parallel()
	const announced = "0,400,9000000,-;Kernel panic - not syncing: boom\n"
	tests := map[string]struct {
		datagram string
		verdict  verdict
		took     time.Duration // of the trial
	}{
		"right":  {datagram: announced + " epitaph-token=" + aSecret + "\n", verdict: verdictDead, took: 400 * time.Millisecond},
		"wrong":  {datagram: announced + " epitaph-token=guessed\n", verdict: verdictForged},
		"empty":  {datagram: announced + " epitaph-token=\n", verdict: verdictForged},
		"absent": {datagram: announced, verdict: verdictUnproven, took: 30 * time.Second},
		"in text, where the kernel would have escaped the newline": {
			datagram: `0,400,9000000,-;Kernel panic - not syncing: boom\x0a epitaph-token=` + aSecret + "\n", verdict: verdictUnproven, took: 30 * time.Second,
		},
		"cut off": {datagram: "0,400,9000000,-,ncfrag=0/400;Kernel panic - not syncing: boom\n epitaph-token=" + aSecret[:9], verdict: verdictUnproven, took: 30 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := signed(aNode("n1", "10.0.0.1"))
				c := aCluster(t, node)
				u, _ := c.aReplica(t, node.UID)
				start := time.Now()
				aListener(u, node).hears(t, from1, tc.datagram)
				if u.judged(tc.verdict) != 1 {
					t.Errorf("no verdict %q", tc.verdict)
				}
				if took := time.Since(start); took != tc.took {
					t.Errorf("the trial took %s, want %s", took, tc.took)
				}
			})
		})
	}
}

func TestForgeriesDoNotKeepAGenuinePanicFromBeingHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := signed(aNode("n1", "10.0.0.1"))
		c := aCluster(t, node)
		u, notes := c.aReplica(t, node.UID)
		l := aListener(u, node)
		for n := range 1000 {
			l.hears(t, from1, fmt.Sprintf("0,%d,9000000,-;Kernel panic - not syncing: boom\n epitaph-token=%d\n", 1000+n, n))
		}
		l.hears(t, from1, "0,400,9000000,-;Kernel panic - not syncing: boom\n epitaph-token="+aSecret+"\n")
		if c.node(t, "n1") != nil || u.judged(verdictForged) != 1000 {
			t.Errorf("node %v, %v forgeries; want none and 1000", c.node(t, "n1"), u.judged(verdictForged))
		}
		if len(notes.notes) != 1 {
			t.Errorf("%d events about forgeries within one moment, want 1", len(notes.notes))
		}
	})
}

func TestNodeNamesAreAcceptedWithTheTokenOnly(t *testing.T) {
	t.Parallel()
	stranger := netip.MustParseAddrPort("192.0.2.1:665")
	message := func(name, token string) string {
		return "0,400,9000000,-;Kernel panic - not syncing: boom\n epitaph-node=" + name + "\n epitaph-token=" + token + "\n"
	}
	tests := map[string]struct {
		off      bool
		datagram string
		want     string
	}{
		"name and token":            {datagram: message("n1", aSecret), want: "panic"},
		"switched off":              {off: true, datagram: message("n1", aSecret), want: "unknown-sender"},
		"wrong token":               {datagram: message("n1", "guessed"), want: "unknown-sender"},
		"a node without a token":    {datagram: message("n2", ""), want: "unknown-sender"},
		"a token of another node":   {datagram: message("n2", aSecret), want: "unknown-sender"},
		"nobody's name":             {datagram: message("n9", aSecret), want: "unknown-sender"},
		"the plain format":          {datagram: plainPanic, want: "unknown-sender"},
		"more than a kernel sends":  {datagram: message("n1", aSecret) + strings.Repeat("x", 1000), want: "unknown-sender"},
		"a name without any record": {datagram: "epitaph-node=n1", want: "unknown-sender"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node, other := signed(aNode("n1", "10.0.0.1")), aNode("n2", "10.0.0.2")
				c := aCluster(t, node, other)
				u, _ := c.aReplica(t, node.UID, other.UID)
				u.config.AcceptNodeNames = !tc.off
				if got := aListener(u, node, other).hears(t, stranger, tc.datagram); got[0] != tc.want {
					t.Errorf("outcome %q, want %q", got[0], tc.want)
				}
			})
		})
	}
}

// A panic that does not fit the boot the kernel spoke from before is not believed for silence alone.
func TestReplayedPanicIsDoubted(t *testing.T) {
	t.Parallel()
	const hour = 3600 * 1000000
	tests := map[string]struct {
		before string
		later  time.Duration
		panic  string
		want   verdict
	}{
		"of this boot":                         {before: line(100, hour), later: time.Minute, panic: panicAt(120, hour+60*1000000), want: verdictDead},
		"late by seconds":                      {before: line(100, hour), later: time.Minute, panic: panicAt(120, hour+55*1000000), want: verdictDead},
		"after hours of drift":                 {before: line(100, hour), later: 10 * time.Hour, panic: panicAt(120, 11*hour-30*1000000), want: verdictDead},
		"overtaken by a later line":            {before: line(100, hour), panic: panicAt(90, hour), want: verdictDead},
		"of nothing known":                     {panic: panicAt(120, hour), want: verdictDead},
		"recorded in an earlier, younger boot": {before: line(100, hour), later: time.Minute, panic: panicAt(120, 7*60*1000000), want: verdictUnproven},
		"recorded in an earlier, older boot":   {before: line(100, hour), later: time.Minute, panic: panicAt(120, 9*hour), want: verdictUnproven},
		"of an impossible time":                {before: line(100, hour), panic: panicAt(120, 1<<63), want: verdictUnproven},
		"with a number far behind":             {before: line(5000, hour), panic: panicAt(120, hour), want: verdictUnproven},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := aNode("n1", "10.0.0.1")
				c := aCluster(t, node)
				u, _ := c.aReplica(t, node.UID)
				l := aListener(u, node)
				if tc.before != "" {
					l.hears(t, from1, tc.before)
				}
				time.Sleep(tc.later)
				u.habits.note(node.UID)
				l.hears(t, from1, tc.panic)
				if u.judged(tc.want) != 1 {
					t.Errorf("no verdict %q", tc.want)
				}
			})
		})
	}
}

func line(seq, micros uint64) string { return fmt.Sprintf("6,%d,%d,-;hello\n", seq, micros) }

func panicAt(seq, micros uint64) string {
	return fmt.Sprintf("0,%d,%d,-;Kernel panic - not syncing: boom\n", seq, micros)
}

func TestTroubleBecomesEvidence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node)
		u, _ := c.aReplica(t, node.UID)
		l := aListener(u, node)
		l.hears(t, from1,
			`3,1,1000,-;I/O error, dev sda, sector 4711 op 0x0:(READ) \x1b[2J flags 0x0`+"\n",
			"3,2,1001,-;I/O error, dev sda, sector 4712 op 0x0:(READ) flags 0x0\n",
			"11,3,1002,-;mce: [Hardware Error]: said by user space\n",
			"6,4,1003,-;worker I/O error, dev sda\n",
			"4,5,1004,-;NVRM: Xid (PCI:0000:81:00): 79, GPU has fallen off the bus.\n")
		found, err := reason.EvidenceOn(c.node(t, "n1"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range found {
			got = append(got, e.What+" "+e.BootID+" "+e.Detail)
		}
		slices.Sort(got)
		want := []string{
			"hardware boot-1 GPU error: NVRM: Xid (PCI:0000:81:00): 79, GPU has fallen off the bus.",
			`hardware boot-1 disk I/O error: I/O error, dev sda, sector 4711 op 0x0:(READ) \x1b[2J flags 0x0`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("evidence (-want +got):\n%s", diff)
		}
		time.Sleep(troublePeriod)
		l.hears(t, from1, "3,9,2000,-;I/O error, dev sda, sector 99\n")
		if found, err = reason.EvidenceOn(c.node(t, "n1")); err != nil || len(found) != 3 {
			t.Errorf("%d pieces of evidence (%v) after the period, want 3", len(found), err)
		}
	})
}

func TestTroubleIn(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 4: be00000000800400": "machine check",
		"{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error":    "firmware reported error",
		"{whatever} a driver says [Hardware Error]":                               "",
		"EDAC MC0: 1 UE memory read error on CPU_SrcID#0":                         "memory error",
		"EDAC MC0: 1 CE memory read error on CPU_SrcID#0":                         "",
		"watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [sh:211]":              "soft lockup",
		"Buffer I/O error on dev sda1, logical block 0, async page read":          "disk I/O error",
		"EXT4-fs error (device sda1): ext4_find_entry":                            "filesystem error",
		"EXT4-fs (sda1): mounted filesystem":                                      "",
		"I/O error":                                                               "",
		"":                                                                        "",
	}
	for text, want := range tests {
		if got := troubleIn([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Every recording of a real kernel through the whole detector: a node is buried exactly where the kernel said, in the strict
// format, that it panics.
func TestRecordings(t *testing.T) {
	t.Parallel()
	for _, r := range recordings(t) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := aNode("n1", "10.0.0.1")
				c := aCluster(t, node, aLease("n1"))
				u, _ := c.aReplica(t, node.UID)
				l := aListener(u, node)
				tally := map[string]int{}
				for _, payload := range r.payloads {
					u.habits.note(node.UID)
					tally[l.take(t.Context(), from1, payload, l.clock.Now()).String()]++
				}
				u.work.Wait()
				total := 0
				for n := range maps.Values(tally) {
					total += n
				}
				if total != len(r.payloads) || tally["panic"] != r.strict {
					t.Errorf("outcomes %v, want %d, %d of them panics", tally, len(r.payloads), r.strict)
				}
				if buried, want := c.node(t, "n1") == nil, r.strict > 0; buried != want {
					t.Errorf("node buried: %t, want %t", buried, want)
				}
			})
		})
	}
}

type recorded struct {
	name     string
	strict   int
	payloads [][]byte
}

// recordings reads INDEX.md and the files that it names; floods of thousands are left to package wire.
func recordings(t *testing.T) (all []recorded) {
	t.Helper()
	const folder, most = "wire/testdata/captures", 500
	index, err := os.ReadFile(filepath.Join(folder, "INDEX.md"))
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.Lines(string(index)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(row), "|"), "|")
		if len(cells) != 10 {
			continue
		}
		packets, err := strconv.Atoi(strings.TrimSpace(cells[5]))
		if err != nil || packets > most {
			continue
		}
		strict, err := strconv.Atoi(strings.TrimSpace(cells[6]))
		if err != nil {
			t.Fatalf("INDEX.md: %s: %v", row, err)
		}
		name := strings.TrimSpace(cells[0])
		all = append(all, recorded{name: name, strict: strict, payloads: payloadsOf(t, filepath.Join(folder, name+".jsonl"))})
	}
	if len(all) < 80 {
		t.Fatalf("INDEX.md names only %d recordings", len(all))
	}
	return all
}

func payloadsOf(t *testing.T, path string) (all [][]byte) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var d struct{ Hex string }
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		payload, err := hex.DecodeString(d.Hex)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, payload)
	}
	return all
}

func TestUninterestingDatagramsAllocateNothing(t *testing.T) {
	c := aCluster(t)
	u, _ := c.aReplica(t)
	u.config.AcceptNodeNames = true
	l := aListener(u, aNode("n1", "10.0.0.1"))
	stranger := netip.MustParseAddrPort("192.0.2.1:665")
	now := time.Now()
	lines := make([][]byte, 2000)
	for n := range lines {
		lines[n] = []byte(line(uint64(n), uint64(n)*100))
	}
	l.take(t.Context(), from1, lines[0], now)
	for what, d := range map[string]struct {
		from netip.AddrPort
		next func(n int) []byte
	}{
		"a line of a node":     {from1, func(n int) []byte { return lines[n%len(lines)] }},
		"a repeated line":      {from1, always(line(0, 0))},
		"a stranger's line":    {stranger, always(line(0, 0))},
		"a stranger's panic":   {stranger, always(panicDatagram)},
		"a plain line":         {from1, always("[    1.000000] hello")},
		"what cannot be read":  {from1, always("\n")},
		"a fragment of a node": {from1, always("6,9,9,-,ncfrag=0/900;half of it")},
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

// Whatever is sent: no crash, one outcome that has a name, and no more memory than a stream may have.
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
		u, _ := c.aReplica(t)
		u.config.AcceptPlain, u.config.AcceptNodeNames = true, true
		l := aListener(u, node)
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

func TestSocketReceivesBatches(t *testing.T) {
	t.Parallel()
	conn, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	socket, err := newReceiver(conn)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sender.Close() })
	at := conn.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
	const sent = 150
	for n := range sent {
		if _, err := sender.WriteToUDPAddrPort([]byte(strconv.Itoa(n)), at); err != nil {
			t.Fatal(err)
		}
	}
	want := sender.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
	for got := 0; got < sent; {
		datagrams, err := socket.receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range datagrams {
			if string(d.payload) != strconv.Itoa(got) || d.from != want {
				t.Fatalf("datagram %d: %q from %s, want %q from %s", got, d.payload, d.from, strconv.Itoa(got), want)
			}
			got++
		}
	}
}

func TestAPortThatIsTakenIsSaid(t *testing.T) {
	t.Parallel()
	conn, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	settings := config.Default().Netconsole
	settings.Address = conn.LocalAddr().String()
	_, err = New(Options{Config: settings, Registerer: prometheus.NewRegistry(), Clock: clock.RealClock{}, Log: logr.Discard()})
	if err == nil || !strings.Contains(err.Error(), "listen for netconsole: ") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v, want that the address is in use", err)
	}
}
