package netconsole

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
)

// answersAfter plays a node whose user space takes its time while it lives.
func (c *cluster) answersAfter(took time.Duration) func(context.Context, []netip.Addr,
	time.Duration) (bool, error) {
	return func(_ context.Context, _ []netip.Addr, limit time.Duration) (bool, error) {
		if !c.alive.Load() || took > limit {
			time.Sleep(limit)
			return false, nil
		}
		time.Sleep(took)
		return true, nil
	}
}

// aNodeThatAnswers has a replica learn in a quiet round how slowly its node answers.
func aNodeThatAnswers(t *testing.T, took time.Duration) (*corev1.Node, *cluster, *panicHandler) {
	t.Helper()
	node := aNode("n1", "10.0.0.1")
	c := aCluster(t, node, aLease("n1"))
	p, _ := c.aReplica(t)
	p.answers = c.answersAfter(took)
	c.alive.Store(true)
	if err := p.quietRound(t.Context()); err != nil {
		t.Fatal(err)
	}
	return node, c, p
}

// A signed panic of a node that is silent is believed as soon as its silence has lasted four times
// as long as its answers took; one that answers too slowly for that has to miss its Lease.
func TestSilenceOfSlowNodes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		took     time.Duration
		from, to time.Duration
	}{
		"quick":            {10 * time.Millisecond, 800 * time.Millisecond, 1500 * time.Millisecond},
		"slow":             {time.Second, 4500 * time.Millisecond, 6 * time.Second},
		"as slow as it is": {1500 * time.Millisecond, 6500 * time.Millisecond, 8 * time.Second},
		"too slow":         {1600 * time.Millisecond, 40 * time.Second, 50 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node, c, p := aNodeThatAnswers(t, tc.took)
				c.alive.Store(false)
				began := time.Now()
				p.hear(t.Context(), aPanic(node))
				for c.node(t, "n1") != nil && time.Since(began) < time.Minute {
					time.Sleep(50 * time.Millisecond)
				}
				if took := time.Since(began); took < tc.from || took > tc.to {
					t.Errorf("the node was removed after %v, want %v to %v", took, tc.from, tc.to)
				}
			})
		})
	}
}

// A node that answers slowly is no dead one.
func TestSlowAnswerVetoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node, c, p := aNodeThatAnswers(t, time.Second)
		p.answers = c.answersAfter(3 * time.Second) // it is in trouble
		hears(t.Context(), p, aPanic(node))
		if c.node(t, "n1") == nil {
			t.Error("a node that answered was removed")
		}
	})
}

func TestHabits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHabits(clock.RealClock{}, proof())
		round := proof().QuietRound.Duration
		if h.speaks("a") || h.wait("a") != 300*time.Millisecond {
			t.Errorf("a node that was never heard speaks, or is waited for: %v", h.wait("a"))
		}
		h.note("a", time.Second)
		time.Sleep(round)
		h.note("a", 10*time.Millisecond)
		if !h.speaks("a") || h.wait("a") != slack*time.Second {
			t.Errorf("its slowest answer is forgotten at once: %v", h.wait("a"))
		}
		time.Sleep((roundsRemembered - 1) * round)
		h.note("a", 10*time.Millisecond)
		if h.wait("a") != 300*time.Millisecond {
			t.Errorf("its slowest answer is remembered for ever: %v", h.wait("a"))
		}
		h.note("a", 5*time.Second)
		if h.speaks("a") || h.wait("a") != proof().Patience.Duration {
			t.Errorf("a node that took 5 s speaks, or is waited for beyond patience: %v", h.wait("a"))
		}
		time.Sleep(roundsRemembered * round)
		if h.forget(); h.speaks("a") || len(h.of) != 0 {
			t.Errorf("%d answers are remembered for ever", len(h.of))
		}
	})
}

// Those that were given up are not waited for in quiet times: the others would be asked too seldom.
func TestQuietRoundIsNotHeldUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady,
			Status: corev1.ConditionUnknown}}
		c := aCluster(t, node)
		p, _ := c.aReplica(t)
		p.answers = c.answersAfter(time.Hour)
		began := time.Now()
		if err := p.quietRound(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Errorf("the round took %v", took)
		}
	})
}
