package netconsole

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// A cluster is an API server in memory that records writes and can be unavailable. It shows the
// order of the steps, and what a failure between them leaves; test/e2e shows how the real API
// server takes the writes.
type cluster struct {
	client client.WithWatch
	away   atomic.Bool
	alive  atomic.Bool

	mu     sync.Mutex
	writes []string
	// before is called before each write; an error refuses it.
	before func(write string) error
}

var errAway = errors.New("connection refused")

func aCluster(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	c := &cluster{}
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(known); err != nil {
			t.Fatal(err)
		}
	}
	c.client = fake.NewClientBuilder().WithScheme(known).WithObjects(objects...).
		WithIndex(&corev1.Pod{}, reason.NodeNameField,
			func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey,
				obj client.Object, opts ...client.GetOption) error {
				if c.away.Load() {
					return errAway
				}
				return w.Get(ctx, key, obj, opts...)
			},
			SubResourcePatch: func(ctx context.Context, w client.Client, _ string,
				obj client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
				if err := c.write(ctx, "patch", obj); err != nil {
					return err
				}
				if err := w.Patch(ctx, obj, patch); err != nil || obj.GetNamespace() == "" {
					return err
				}
				return w.Status().Patch(ctx, obj, patch) // in memory, each takes only its half
			},
			Delete: func(ctx context.Context, w client.WithWatch, obj client.Object,
				opts ...client.DeleteOption) error {
				if err := c.write(ctx, "delete", obj); err != nil {
					return err
				}
				return w.Delete(ctx, obj, opts...)
			},
		}).Build()
	return c
}

func (c *cluster) write(ctx context.Context, verb string, obj client.Object) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.away.Load() {
		return errAway
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	write := fmt.Sprintf("%s %s", verb, obj.GetName())
	if c.before != nil {
		if err := c.before(write); err != nil {
			return err
		}
	}
	c.writes = append(c.writes, write)
	return nil
}

func (c *cluster) written() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.writes)
}

// RecordPanic makes the cluster keep the obituaries, too.
func (c *cluster) RecordPanic(_ context.Context, node *corev1.Node, _ reason.Reason,
	kernelLog []string) error {
	if c.away.Load() {
		return errAway
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, "obituary "+node.Name+": "+strings.Join(kernelLog, "|"))
	return nil
}

func (c *cluster) node(t *testing.T, name string) *corev1.Node {
	t.Helper()
	node := &corev1.Node{}
	if err := c.client.Get(t.Context(), types.NamespacedName{Name: name}, node); err != nil {
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return nil
	}
	return node
}

func (c *cluster) pods(t *testing.T) []string {
	t.Helper()
	list := &corev1.PodList{}
	if err := c.client.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range list.Items {
		names = append(names, p.Name)
	}
	return names
}

// A notebook is a Recorder that keeps the reasons of Events.
type notebook struct {
	mu    sync.Mutex
	notes []string
}

func (n *notebook) Eventf(_, _ runtime.Object, _, why, _, note string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, why+": "+fmt.Sprintf(note, args...))
}

func (n *notebook) has(why string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.notes,
		func(note string) bool { return strings.HasPrefix(note, why) })
}

// aReplica is a panicHandler of the cluster that runs until the test ends; its nodes used to answer.
func (c *cluster) aReplica(t *testing.T, nodes ...types.UID) (*panicHandler, *notebook) {
	t.Helper()
	return c.aReplicaUntil(t.Context(), t, nodes...)
}

// aReplicaUntil returns a replica that dies with the context.
func (c *cluster) aReplicaUntil(ctx context.Context, t *testing.T,
	nodes ...types.UID) (*panicHandler, *notebook) {
	t.Helper()
	none := func() float64 { return 0 }
	m, err := newMetrics(prometheus.NewRegistry(), none, none)
	if err != nil {
		t.Fatal(err)
	}
	settings := config.Default().Netconsole
	settings.ProofOfDeath = proof()
	notes := &notebook{}
	clk := clock.RealClock{} // in a bubble of synctest
	p := &panicHandler{
		config: settings, keys: reason.DefaultKeys(), reader: c.client, live: c.client,
		terminator: termination.New(c.client, reason.DefaultKeys(), clk), obituary: c,
		events: events{notes}, clock: clk,
		metrics: m, brake: newBrake(settings.Brake), leases: newLeases(clk, c.client),
		answering: newHabits(clk, proof()),
		refuted:   newRecent(clk, mistrust),
		log:       logr.Discard(), answers: func(context.Context, []netip.Addr, time.Duration) (bool, error) {
			return c.alive.Load(), nil
		},
		guard:         aGuard(t),
		evidenceSeats: make(chan struct{}, maxTroubleWrites),
	}
	p.leases.synced = func() bool { return true }
	c.tellLeases(t, p)
	for _, n := range nodes {
		p.answering.note(n, time.Millisecond)
	}
	p.begin()
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { p.run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return p, notes
}

// aGuard returns a guard that counts in a registry of its own.
func aGuard(t *testing.T) *guard.Guard {
	t.Helper()
	g, err := guard.New(prometheus.NewRegistry(), "netconsole", logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// tellLeases does what the watch does.
func (c *cluster) tellLeases(t *testing.T, p *panicHandler) {
	t.Helper()
	all := &coordinationv1.LeaseList{}
	if err := c.client.List(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for n := range all.Items {
		p.leases.see(nil, &all.Items[n])
	}
}

// renews does what the kubelet of a living node does.
func (c *cluster) renews(t *testing.T, p *panicHandler, node string) {
	t.Helper()
	lease := &coordinationv1.Lease{}
	key := types.NamespacedName{Namespace: corev1.NamespaceNodeLease, Name: node}
	if err := c.client.Get(t.Context(), key, lease); err != nil {
		t.Fatal(err)
	}
	before, now := lease.DeepCopy(), metav1.NowMicro()
	lease.Spec.RenewTime = &now
	if err := c.client.Update(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	p.leases.see(before, lease)
}

func (p *panicHandler) judged(v verdict) float64 {
	return testutil.ToFloat64(p.metrics.panics.WithLabelValues(string(v)))
}

// aLease is a node's Lease that is no longer renewed.
func aLease(node string) *coordinationv1.Lease {
	renewed := metav1.NewMicroTime(startOfBubble)
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: node, Namespace: corev1.NamespaceNodeLease},
		Spec:       coordinationv1.LeaseSpec{RenewTime: &renewed},
	}
}

func aPod(name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name,
			Namespace: "default", UID: types.UID("uid-of-" + name)},
		Spec:   corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}
