package netconsole

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// After a broken watch, an informer reports a node that was deleted and created again as an update
// of one.
func TestSuccessorHasTheAddressAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		was, is := aNode("n1", "10.0.0.1"), signed(aNode("n1", "10.0.0.1"))
		is.UID = "uid-of-its-successor"
		c := aCluster(t, is)
		p, _ := c.aReplica(t, is.UID)
		l := aListener(p, was)
		l.forgetReplaced(was, is)
		l.see(is)
		if s, contested := l.addresses.find(netip.MustParseAddr("10.0.0.1")); contested ||
			s == nil || s.uid != is.UID {
			t.Fatalf("the address has %+v (contested: %t), want the successor", s, contested)
		}
		l.lose(cache.DeletedFinalStateUnknown{Obj: was}) // late
		l.hears(t, from1, panicDatagram)
		if p.judged(verdictDead) != 1 {
			t.Error("a panic of the successor was not believed")
		}
	})
}

func TestChangedNodeKeepsWhatItSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before, after := aNode("n1", "10.0.0.1"), aNode("n1", "10.0.0.1", "10.0.0.2")
		c := aCluster(t, after)
		p, _ := c.aReplica(t, after.UID)
		l := aListener(p, before)
		l.hears(t, from1, line(1, 1000))
		l.forgetReplaced(before, after)
		l.see(after)
		if s, _ := l.addresses.find(from1.Addr()); s == nil || len(s.lines()) != 1 {
			t.Errorf("the node's lines are lost with a change of the Node: %+v", s)
		}
	})
}

func TestWhatWasNotedIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newRecent(clock.RealClock{}, time.Minute)
		h.note("gone")
		time.Sleep(30 * time.Second)
		h.note("here")
		time.Sleep(30 * time.Second)
		h.forget()
		for node, want := range map[types.UID]bool{"gone": false, "here": true, "never": false} {
			if got := h.has(node); got != want {
				t.Errorf("node %q is noted: %t, want %t", node, got, want)
			}
		}
		if len(h.last) != 1 {
			t.Errorf("%d nodes are remembered, want the one that was noted lately", len(h.last))
		}
	})
}
