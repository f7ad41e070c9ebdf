package netconsole

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
)

func TestBrake(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	brakeOf := func(nodes int) *brake {
		return newBrake(config.Brake{Nodes: nodes, Window: metav1.Duration{Duration: time.Minute}})
	}
	t.Run("lets no more nodes die within the window than configured", func(t *testing.T) {
		t.Parallel()
		b := brakeOf(2)
		got := []bool{b.admit("a", start), b.admit("b", start),
			b.admit("c", start.Add(59*time.Second)), b.admit("c", start.Add(time.Minute))}
		want := []bool{true, true, false, true}
		for n := range want {
			if got[n] != want[n] {
				t.Errorf("death %d: admitted %t, want %t", n, got[n], want[n])
			}
		}
	})
	t.Run("a node dies once", func(t *testing.T) {
		t.Parallel()
		b := brakeOf(1)
		b.admit("a", start)
		if !b.admit("a", start) {
			t.Error("a node that is counted already was refused")
		}
	})
	t.Run("counts what others declared", func(t *testing.T) {
		t.Parallel()
		b := brakeOf(1)
		b.note("a", start)
		if b.admit("b", start) {
			t.Error("a second node was admitted")
		}
		if !b.admit("a", start) {
			t.Error("the node that another replica declared dead was refused")
		}
	})
	t.Run("none means none", func(t *testing.T) {
		t.Parallel()
		if brakeOf(0).admit("a", start) {
			t.Error("a node was admitted")
		}
	})
	t.Run("forgets", func(t *testing.T) {
		t.Parallel()
		b := brakeOf(5)
		for n := range 1000 {
			b.note("a"+typesUID(n), start.Add(time.Duration(n)*time.Second))
		}
		if len(b.deaths) > 60 {
			t.Errorf("%d deaths are remembered, at most the 60 of one window are of use",
				len(b.deaths))
		}
	})
}
