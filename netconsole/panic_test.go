package netconsole

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/reason"
)

// counting makes a replica count its panics in a registry, and returns it.
func (p *panicHandler) counting(t *testing.T) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewRegistry()
	var err error
	if p.guard, err = guard.New(registry, "netconsole", logr.Discard()); err != nil {
		t.Fatal(err)
	}
	return registry
}

func panicked(t *testing.T, registry *prometheus.Registry, times string) {
	t.Helper()
	all, err := testutil.GatherAndFormat(registry, expfmt.TypeTextPlain, guard.Metric)
	if want := `epitaph_worker_panics_total{worker="netconsole"} ` + times + "\n"; err != nil ||
		!strings.Contains(string(all), want) {
		t.Errorf("counted (%v), want %s:\n%s", err, want, all)
	}
}

// A oneTime panics the first time.
type oneTime struct{ done atomic.Bool }

func (o *oneTime) panics(why string) {
	if !o.done.Swap(true) {
		panic(why)
	}
}

// A faulty reader panics at the second read of a Node: the handler has read it once when it hears
// of a panic, and the trial then reads it again.
type faultyReader struct {
	client.Reader
	reads atomic.Int32
}

func (f *faultyReader) Get(ctx context.Context, key client.ObjectKey, o client.Object,
	opts ...client.GetOption) error {
	if _, ok := o.(*corev1.Node); ok && f.reads.Add(1) == 2 {
		panic("a node like no other")
	}
	return f.Reader.Get(ctx, key, o, opts...)
}

// A faulty archive panics at the first obituary.
type faultyArchive struct {
	Obituary
	once oneTime
}

func (f *faultyArchive) RecordPanic(ctx context.Context, node *corev1.Node, r reason.Reason,
	kernelLog []string) error {
	f.once.panics("an obituary like no other")
	return f.Obituary.RecordPanic(ctx, node, r, kernelLog)
}

// Panics while a dead node is removed end neither the process nor the removal: the trial, the pods,
// the obituary and what follows are tried again.
func TestRemovalSurvivesPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node, aPod("a", "n1"))
		var write oneTime
		c.before = func(name string) error {
			if name == "patch a" {
				write.panics("a pod like no other")
			}
			return nil
		}
		p, _ := c.aReplica(t, node.UID)
		registry := p.counting(t)
		p.obituary, p.reader = &faultyArchive{Obituary: c}, &faultyReader{Reader: p.reader}
		hears(t.Context(), p, aPanic(node))
		if c.node(t, "n1") != nil || len(c.pods(t)) != 0 {
			t.Errorf("Node and pods %v are left, written %v", c.pods(t), c.written())
		}
		if p.judged(verdictDead) != 1 {
			t.Errorf("%v panics were believed, want 1", p.judged(verdictDead))
		}
		panicked(t, registry, "3")
	})
}

// A case whose verdict we panic over is judged again.
func TestVerdictSurvivesAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node, aPod("a", "n1"))
		p, _ := c.aReplica(t, node.UID)
		registry := p.counting(t)
		var list oneTime
		p.reader = lists{p.reader, func() { list.panics("a record like no other") }}
		hears(t.Context(), p, aPanic(node))
		if c.node(t, "n1") != nil {
			t.Errorf("the Node is left, written %v", c.written())
		}
		panicked(t, registry, "1")
	})
}

// lists calls before each list.
type lists struct {
	client.Reader
	before func()
}

func (l lists) List(ctx context.Context, list client.ObjectList,
	opts ...client.ListOption) error {
	l.before()
	return l.Reader.List(ctx, list, opts...)
}

// A probe that panics is not silence, so the node stays. Nor does it count as an answer.
func TestProbeThatPanicsIsNoSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node, aLease("n1"))
		p, _ := c.aReplica(t, node.UID)
		registry := p.counting(t)
		var probes atomic.Int32
		p.answers = func(context.Context, []netip.Addr, time.Duration) (bool, error) {
			probes.Add(1)
			panic("a certificate like no other")
		}
		d := aPanic(node)
		d.trust = trustUnsigned
		hears(t.Context(), p, d)
		if c.node(t, "n1") == nil {
			t.Error("a node that could not be asked was removed")
		}
		if err := p.quietRound(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(roundsRemembered * p.config.ProofOfDeath.QuietRound.Duration)
		if err := p.quietRound(t.Context()); err != nil {
			t.Error(err)
		}
		if p.answering.speaks(node.UID) {
			t.Error("a node that could not be asked is taken for one that answers")
		}
		if all, err := registry.Gather(); err != nil || probes.Load() == 0 ||
			all[0].GetMetric()[0].GetCounter().GetValue() != float64(probes.Load()) {
			t.Errorf("%d probes panicked, counted: %v (%v)", probes.Load(), all, err)
		}
	})
}

// A datagram that we panic over has one outcome; its sender is heard all the same from then on.
func TestDatagramThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node)
		p, _ := c.aReplica(t, node.UID)
		registry := p.counting(t)
		l := aListener(p, node)
		from, line := netip.MustParseAddrPort("10.0.0.1:514"), []byte("6,1,1,-;eth0: link up\n")
		memory := l.addresses.memory.wire
		l.addresses.memory.wire = nil // NewStream of it panics
		take := func(want string) {
			t.Helper()
			if got := l.take(t.Context(), from, line, time.Now()).String(); got != want {
				t.Errorf("the datagram is %s, want %s", got, want)
			}
		}
		take("fault")
		l.addresses.memory.wire = memory
		take("line")
		panicked(t, registry, "1")
		if !slices.Contains(allOutcomes(), outcomeFault) {
			t.Error("a fault is not counted")
		}
	})
}
