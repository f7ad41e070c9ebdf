package gc

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestCensusTellsNews(t *testing.T) {
	t.Parallel()
	c := newNodeTracker()
	steps := []struct {
		what string
		node *corev1.Node
		want bool
	}{
		{"a new node", node("first"), true},
		{"its heartbeat", node("first"), false},
		{"another node of that name", node("second"), true},
		{"it falls silent", node("second", silentNode), false},
		{"it is declared out of service", node("second", silentNode, func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService}}
		}), true},
	}
	for _, s := range steps {
		if got := c.arrive(s.node); got != s.want {
			t.Errorf("%s: news %t, want %t", s.what, got, s.want)
		}
	}
}

func TestALateGoodbyeDoesNotRemoveTheSuccessor(t *testing.T) {
	t.Parallel()
	c := newNodeTracker()
	c.arrive(node("second"))
	c.leave(node("first"), noon)
	if got := c.known("n1"); got.state != inService || got.uid != "second" {
		t.Errorf("n1 is %+v, want the second node in service", got)
	}
}

func TestMemoryOfDepartedNodesIsBounded(t *testing.T) {
	t.Parallel()
	c := newNodeTracker()
	for i := range maxLastSeen + 500 {
		c.leave(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", i), UID: "u"}},
			noon.Add(time.Duration(i)*time.Second))
	}
	if len(c.gone) != maxLastSeen {
		t.Errorf("%d departures remembered, want %d", len(c.gone), maxLastSeen)
	}
	if _, ok := c.lastSeen("n0"); ok {
		t.Error("the oldest lastSeen is still remembered")
	}
	if _, ok := c.lastSeen(fmt.Sprintf("n%d", maxLastSeen+499)); !ok {
		t.Error("the latest lastSeen is forgotten")
	}
}
