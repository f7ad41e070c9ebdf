package netconsole

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// aSecret is a token, and signed a node that has published its hash.
const aSecret = "c29tZSBzZWNyZXQgb2YgdGhpcyBib290"

func signed(node *corev1.Node) *corev1.Node {
	node.Annotations = map[string]string{reason.TokenKey: config.TokenAnnotation(
		node.Status.NodeInfo.BootID,
		aSecret)}
	return node
}

func TestToken(t *testing.T) {
	t.Parallel()
	// A round after the kernel has settled; and the window, with another round, of a node without a
	// Lease.
	const acted, pended = settling + 400*time.Millisecond, 30*time.Second + 400*time.Millisecond
	const announced = "0,400,9000000,-;Kernel panic - not syncing: boom\n"
	tests := map[string]struct {
		datagram string
		rest     string // another datagram, a moment later
		verdict  verdict
		took     time.Duration // of the trial
	}{
		"right": {datagram: announced + " epitaph-token=" + aSecret + "\n", verdict: verdictDead,
			took: acted},
		"wrong":  {datagram: announced + " epitaph-token=guessed\n", verdict: verdictForged},
		"empty":  {datagram: announced + " epitaph-token=\n", verdict: verdictForged},
		"absent": {datagram: announced, verdict: verdictUnproven, took: pended},
		"in text, where the kernel would have escaped the newline": {
			datagram: `0,400,9000000,-;Kernel panic - not syncing: boom\x0a epitaph-token=` +
				aSecret + "\n", verdict: verdictUnproven, took: pended,
		},
		"cut off": {datagram: cutOff, verdict: verdictUnproven, took: pended},
		"right, in a later fragment": {datagram: cutOff, rest: restOf(aSecret[9:] + "\n"),
			verdict: verdictDead, took: acted},
		"wrong, in a later fragment": {datagram: cutOff,
			rest: restOf(strings.Repeat("x", len(aSecret)-9) + "\n"), verdict: verdictUnproven,
			took: pended},
		"right, in the fragment of another message": {
			datagram: cutOff, rest: strings.Replace(restOf(aSecret[9:]+"\n"), ",400,", ",401,", 1),
			verdict: verdictUnproven, took: pended,
		},
		"absent, and right in the panic that follows": {datagram: announced,
			rest: announced + " epitaph-token=" + aSecret + "\n", verdict: verdictDead,
			took: acted},
		"absent, and absent in what follows": {
			datagram: announced, rest: "0,401,9000000,-;Kernel panic - not syncing: boom\n",
			verdict: verdictUnproven, took: pended,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := signed(aNode("n1", "10.0.0.1"))
				c := aCluster(t, node)
				p, _ := c.aReplica(t, node.UID)
				start := time.Now()
				l := aListener(p, node)
				l.take(t.Context(), from1, []byte(tc.datagram), l.clock.Now())
				if tc.rest != "" {
					l.take(t.Context(), from1, []byte(tc.rest), l.clock.Now())
				}
				p.work.Wait()
				if p.judged(tc.verdict) != 1 {
					t.Errorf("no verdict %q", tc.verdict)
				}
				if took := time.Since(start); took != tc.took {
					t.Errorf("the trial took %s, want %s", took, tc.took)
				}
			})
		})
	}
}

// cutOff is a panic whose first fragment ends within the token, and restOf is the remainder.
const cutOff = "0,400,9000000,-,ncfrag=0/81;Kernel panic - not syncing: boom\n epitaph-token=c29tZSBzZ"

func restOf(tail string) string {
	const begun = len("Kernel panic - not syncing: boom\n epitaph-token=c29tZSBzZ")
	return fmt.Sprintf("0,400,9000000,-,ncfrag=%d/81;%s", begun, tail)
}

// Whoever forges a panic right before the genuine one determines neither its words nor how long it
// takes.
func TestTheTokenOutweighsWhatWasHeardBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := signed(aNode("n1", "10.0.0.1"))
		c := aCluster(t, node)
		p, _ := c.aReplica(t, node.UID)
		l := aListener(p, node)
		c.before = func(write string) error {
			if write == "delete n1" {
				r, err := reason.DefaultKeys().Node.Read(c.node(t, "n1").Annotations)
				if want :=
					"This node died unexpectedly because its kernel panicked! (genuine)"; err != nil || string(r.Text) != want {
					t.Errorf("the Node's reason is %q (%v), want %q", r.Text, err, want)
				}
			}
			return nil
		}
		for _, d := range []string{
			"0,399,8999999,-;Kernel panic - not syncing: forged\n",
			"0,400,9000000,-;Kernel panic - not syncing: genuine\n epitaph-token=" + aSecret + "\n",
			"0,401,9000001,-;Kernel panic - not syncing: forged again\n",
		} {
			l.take(t.Context(), from1, []byte(d), l.clock.Now())
		}
		p.work.Wait()
		if p.judged(verdictDead) != 1 || p.judged(verdictKnown) != 2 || c.node(t, "n1") != nil {
			t.Errorf("%v dead, %v known; want 1 and 2", p.judged(verdictDead),
				p.judged(verdictKnown))
		}
	})
}

func TestForgeriesDoNotKeepAGenuinePanicFromBeingHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := signed(aNode("n1", "10.0.0.1"))
		c := aCluster(t, node)
		p, notes := c.aReplica(t, node.UID)
		l := aListener(p, node)
		for n := range 1000 {
			l.hears(t, from1,
				fmt.Sprintf("0,%d,9000000,-;Kernel panic - not syncing: boom\n epitaph-token=%d\n",
					1000+n, n))
		}
		l.hears(t, from1, "0,400,9000000,-;Kernel panic - not syncing: boom\n epitaph-token="+
			aSecret+"\n")
		if c.node(t, "n1") != nil || p.judged(verdictForged) != 1000 {
			t.Errorf("node %v, %v forgeries; want none and 1000", c.node(t, "n1"),
				p.judged(verdictForged))
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
		return "0,400,9000000,-;Kernel panic - not syncing: boom\n epitaph-node=" + name +
			"\n epitaph-token=" + token + "\n"
	}
	tests := map[string]struct {
		off      bool
		datagram string
		want     string
	}{
		"name and token": {datagram: message("n1", aSecret), want: "panic"},
		"switched off": {off: true, datagram: message("n1", aSecret),
			want: "unknown-sender"},
		"wrong token":             {datagram: message("n1", "guessed"), want: "unknown-sender"},
		"a node without a token":  {datagram: message("n2", ""), want: "unknown-sender"},
		"a token of another node": {datagram: message("n2", aSecret), want: "unknown-sender"},
		"nobody's name":           {datagram: message("n9", aSecret), want: "unknown-sender"},
		"the plain format":        {datagram: plainPanic, want: "unknown-sender"},
		"more than a kernel sends": {datagram: message("n1", aSecret) + strings.Repeat("x", 1000),
			want: "unknown-sender"},
		"a name without any record": {datagram: "epitaph-node=n1", want: "unknown-sender"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node, other := signed(aNode("n1", "10.0.0.1")), aNode("n2", "10.0.0.2")
				c := aCluster(t, node, other)
				p, _ := c.aReplica(t, node.UID, other.UID)
				p.config.AcceptNodeNames = !tc.off
				if got := aListener(p, node, other).hears(t, stranger,
					tc.datagram); got[0] != tc.want {
					t.Errorf("outcome %q, want %q", got[0], tc.want)
				}
			})
		})
	}
}
