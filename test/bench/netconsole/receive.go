package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"golang.org/x/sys/unix"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A receiver is measured.
type receiver interface {
	addr() netip.AddrPort
	run(ctx context.Context) error
	counts() (received, drops float64)
}

// receive prints its address, receives until stdin ends, and prints what it cost.
func receive(ctx context.Context, role string, stdin io.Reader, stdout io.Writer) error {
	r, err := newReceiver(role)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx) }()
	before, err := spent()
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, r.addr())
	if _, err := io.Copy(io.Discard, stdin); err != nil {
		return fmt.Errorf("wait for the end: %w", err)
	}
	after, err := spent()
	if err != nil {
		return err
	}
	after.CPU -= before.CPU
	after.Allocations -= before.Allocations
	after.Received, after.Drops = r.counts()
	if err := json.NewEncoder(stdout).Encode(after); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	cancel()
	return <-ended
}

// spent is what this process has used so far.
func spent() (m measurement, err error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return m, fmt.Errorf("read the CPU time: %w", err)
	}
	m.CPU = float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	m.Allocations = float64(memory.Mallocs)
	m.RSS, err = peakRSS()
	return m, err
}

func peakRSS() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read the memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kib * 1024, err
		}
	}
	return 0, errors.New("read the memory: no VmHWM in /proc/self/status")
}

func newReceiver(role string) (receiver, error) {
	if role == "naive" {
		return newNaive()
	}
	return newListener()
}

// A naive receiver is the loop that everybody would write first.
type naive struct {
	conn     *net.UDPConn
	received atomic.Uint64
	panics   int
}

func newNaive() (*naive, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("open the naive socket: %w", err)
	}
	const asMuchAsTheListener = 16 << 20
	return &naive{conn: conn}, conn.SetReadBuffer(asMuchAsTheListener)
}

func (n *naive) addr() netip.AddrPort { return n.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (n *naive) counts() (received, drops float64) { return float64(n.received.Load()), 0 }

func (n *naive) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = n.conn.Close() })
	defer stop()
	words := []byte("Kernel panic - not syncing")
	buffer := make([]byte, 2048)
	for {
		size, _, err := n.conn.ReadFromUDPAddrPort(buffer)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if bytes.Contains(buffer[:size], words) {
			n.panics++
		}
		n.received.Add(1)
	}
}

// A listener is the product's, with nodes at the known addresses.
type listener struct {
	*netconsole.Listener
	registry *prometheus.Registry
}

func newListener() (*listener, error) {
	var nodes []*corev1.Node
	for n := range allNodes {
		nodes = append(nodes, nodeAt(n))
	}
	settings := config.Default().Netconsole
	settings.Address = "127.0.0.1:0"
	registry := prometheus.NewRegistry()
	l, err := netconsole.New(netconsole.Options{
		Config: settings, Keys: reason.DefaultKeys(), Reader: nothing{}, Live: nothing{},
		Informers: listed(nodes),
		Obituary:  nobody{}, Recorder: nobody{}, Clock: clock.RealClock{}, Registerer: registry,
		Log: logr.Discard(),
	})
	return &listener{l, registry}, err
}

func nodeAt(n int) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", n),
			UID: types.UID(fmt.Sprintf("uid-%d", n))},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: source(n, knownSources).String()},
		}},
	}
}

func (l *listener) addr() netip.AddrPort { return l.Addr() }

func (l *listener) run(ctx context.Context) error { return l.Start(ctx) }

// counts reads the product's own metrics.
func (l *listener) counts() (received, drops float64) {
	families, err := l.registry.Gather()
	if err != nil {
		return 0, 0
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case netconsole.MetricDatagrams:
				received += m.GetCounter().GetValue()
			case netconsole.MetricDrops:
				drops += m.GetCounter().GetValue()
			}
		}
	}
	return received, drops
}

// nobody takes obituaries and Events, of which there are none.
type nobody struct{}

func (nobody) RecordPanic(context.Context, *corev1.Node, reason.Reason, []string) error {
	return nil
}

func (nobody) Eventf(_, _ k8sruntime.Object, _, _, _, _ string, _ ...any) {}

// nothing is an API server without objects: no panic is sent here, so nobody asks for one.
type nothing struct{}

func (nothing) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("there is nothing here")
}

func (nothing) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

// listed is an informer that knows its nodes from the beginning, and learns nothing. There are no
// Leases.
type listed []*corev1.Node

func (l listed) GetInformer(_ context.Context, of client.Object,
	_ ...cache.InformerGetOption) (cache.Informer, error) {
	if _, ok := of.(*corev1.Node); ok {
		return &listInformer{nodes: l}, nil
	}
	return &listInformer{}, nil
}

type listInformer struct {
	cache.Informer
	nodes []*corev1.Node
}

func (l *listInformer) AddEventHandler(
	h toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	for _, n := range l.nodes {
		h.OnAdd(n, true)
	}
	return synced{}, nil
}

func (l *listInformer) RemoveEventHandler(toolscache.ResourceEventHandlerRegistration) error {
	return nil
}

type synced struct {
	toolscache.ResourceEventHandlerRegistration
}

func (synced) HasSynced() bool { return true }
