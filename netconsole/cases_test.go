package netconsole

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/config"
)

// A panic that is not acted upon must not keep the lines that lead to the next one out of the ring.
func TestRefusedPanicHoldsNoLines(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		node      *corev1.Node
		configure func(*config.Netconsole)
		panic     string
		want      verdict
	}{
		"vetoed by a living node": {node: aNode("n1", "10.0.0.1"), panic: panicDatagram,
			want: verdictAlive},
		"with a wrong token": {
			node:  signed(aNode("n1", "10.0.0.1")),
			panic: "0,400,9000000,-;Kernel panic - not syncing: boom\n epitaph-token=guessed\n",
			want:  verdictForged,
		},
		"in the plain format, switched off": {node: aNode("n1", "10.0.0.1"), panic: plainPanic},
		"in the plain format, vetoed": {
			node:      aNode("n1", "10.0.0.1"),
			configure: func(n *config.Netconsole) { n.AcceptPlain = true }, panic: plainPanic,
			want: verdictAlive,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := aCluster(t, tc.node)
				c.alive.Store(true)
				p, _ := c.aReplica(t, tc.node.UID)
				if tc.configure != nil {
					tc.configure(&p.config)
				}
				l := aListener(p, tc.node)
				l.hears(t, from1, tc.panic)
				if tc.want != "" && p.judged(tc.want) != 1 {
					t.Errorf("no verdict %q", tc.want)
				}
				if missing := talk(t, l); len(missing) > 0 {
					t.Errorf("%d of the last 60 lines are missing, the first is %q", len(missing),
						missing[0])
				}
			})
		})
	}
}

// While a panic is on trial its lines stay, whatever else is refused meanwhile.
func TestPanicOnTrialHoldsItsLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node)
		c.alive.Store(true)
		p, _ := c.aReplica(t, node.UID)
		l := aListener(p, node)
		l.take(t.Context(), from1, []byte(panicDatagram), l.clock.Now())
		l.take(t.Context(), from1, []byte("[    1.000000] Kernel panic - not syncing: forged\n"),
			l.clock.Now())
		if missing := talk(t, l); len(missing) == 0 {
			t.Error("nothing is missing: the ring was released under the trial")
		}
		s, _ := l.addresses.find(from1.Addr())
		if !slices.Contains(s.lines(), "Kernel panic - not syncing: sysrq triggered crash") {
			t.Errorf("the panic is lost: %q", s.lines())
		}
		p.work.Wait()
	})
}

// talk makes the node say more than a held ring takes, and returns which of the last lines are
// missing.
func talk(t *testing.T, l *Listener) (missing []string) {
	t.Helper()
	var want []string
	for n := range 100 {
		text := fmt.Sprintf("line %d of what a kernel says when it has come up again", n)
		if n >= 40 {
			want = append(want, text)
		}
		l.take(t.Context(), from1, fmt.Appendf(nil, "6,%d,%d,-;%s\n", 1000+n, 20_000_000+n, text),
			l.clock.Now())
	}
	s, _ := l.addresses.find(from1.Addr())
	kept := s.lines()
	return slices.DeleteFunc(want, func(line string) bool { return slices.Contains(kept, line) })
}

// A closed case leaves nothing behind, and the next panic of the node is tried anew.
func TestClosedCaseIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := signed(aNode("n1", "10.0.0.1"))
		c := aCluster(t, node)
		c.alive.Store(true)
		p, _ := c.aReplica(t, node.UID)
		l := aListener(p, node)
		l.hears(t, from1, panicDatagram)
		if len(p.cases.open) != 0 {
			t.Errorf("%d cases are open after the verdict", len(p.cases.open))
		}
		c.alive.Store(false)
		time.Sleep(time.Second)
		l.hears(t, from1,
			"0,500,12000000,-;Kernel panic - not syncing: this time truly\n epitaph-token="+aSecret+
				"\n")
		if c.node(t, "n1") != nil || p.judged(verdictDead) != 1 {
			t.Errorf("the second panic was not acted upon: %v dead", p.judged(verdictDead))
		}
	})
}

// While a panic is on trial, the node reboots, and panics: that is another death, and acted upon
// like any other.
func TestPanicOfTheNextBootHasACaseOfItsOwn(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		again []string
		known float64
	}{
		"signed": {again: []string{ofNextBoot + " epitaph-token=" + aSecret +
			"\n"}},
		"unsigned": {again: []string{ofNextBoot}},
		"signed, after a forged one": {again: []string{
			"0,11,1900000,-;Kernel panic - not syncing: forged\n",
			ofNextBoot + " epitaph-token=" + aSecret + "\n"}, known: 1},
		"signed, in a later fragment": {again: []string{cutOff, restOf(aSecret[9:] + "\n")}},
		"signed, and then a forged one": {again: []string{ofNextBoot + " epitaph-token=" + aSecret +
			"\n", "0,11,1900000,-;Kernel panic - not syncing: forged\n"}, known: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := signed(aNode("n1", "10.0.0.1"))
				c := aCluster(t, node, aLease("n1"))
				c.alive.Store(true)
				p, _ := c.aReplica(t, node.UID)
				l := aListener(p, node)
				l.take(t.Context(), from1, []byte(panicDatagram), l.clock.Now())
				time.Sleep(2 * time.Second)
				c.reboots(t, l, &livingNode{node: node}, "the next boot")
				c.alive.Store(false)
				for _, d := range tc.again {
					l.take(t.Context(), from1, []byte(d), l.clock.Now())
				}
				p.work.Wait()
				if p.judged(verdictRebooted) != 1 || p.judged(verdictDead) != 1 ||
					p.judged(verdictKnown) != tc.known || c.node(t, "n1") != nil {
					t.Errorf("%v rebooted, %v dead, %v known; want 1, 1 and %v, and no Node",
						p.judged(verdictRebooted), p.judged(verdictDead), p.judged(verdictKnown),
						tc.known)
				}
			})
		})
	}
}

// ofNextBoot is a panic right after a boot.
const ofNextBoot = "0,10,1800000,-;Kernel panic - not syncing: again\n"
