package netconsole

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/netconsole/wire"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/reason/kernel"
	"github.com/epitaph-k8s/epitaph/termination"
)

// Informers returns the informer of a kind. It is the manager's cache.
type Informers interface {
	GetInformer(ctx context.Context, obj client.Object,
		opts ...cache.InformerGetOption) (cache.Informer, error)
}

// Options are a listener's dependencies and configuration.
type Options struct {
	Config config.Netconsole
	Keys   reason.KeySet
	// Reader reads Nodes, NodeObituaries and Pods from a cache that indexes Pods by
	// "spec.nodeName". Informers are those of that cache for Nodes and Leases; of a Lease they need
	// hold no more than [TrimLease] leaves.
	Reader    client.Reader
	Informers Informers
	// Live reads from the API server.
	Live       client.Reader
	Terminator *termination.Terminator
	Obituary   Obituary
	Recorder   Recorder
	Clock      clock.Clock
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// A Listener hears kernels. It runs on every replica.
type Listener struct {
	conn      *net.UDPConn
	config    config.Netconsole
	informers Informers
	addresses *addresses
	handler   *panicHandler
	metrics   *metrics
	clock     clock.Clock
	log       logr.Logger
}

// New opens the socket and returns a listener; Start makes it read.
func New(o Options) (*Listener, error) {
	rules, err := kernel.Compile(o.Config.Rules())
	if err != nil {
		return nil, fmt.Errorf("compile the rules for kernel lines: %w", err)
	}
	conn, err := listen(o.Config.Address)
	if err != nil {
		return nil, err
	}
	index := newAddresses(rules)
	m, err := newMetrics(o.Registerer, index.contested, func() float64 { return drops(conn) })
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	g, err := guard.New(o.Registerer, "netconsole", o.Log)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	proof := o.Config.ProofOfDeath
	return &Listener{
		conn: conn, config: o.Config, informers: o.Informers, addresses: index, metrics: m,
		clock: o.Clock, log: o.Log,
		handler: &panicHandler{
			config: o.Config, keys: o.Keys, reader: o.Reader, live: o.Live,
			terminator: o.Terminator, obituary: o.Obituary,
			events: events{o.Recorder}, clock: o.Clock, metrics: m, log: o.Log,
			brake: newBrake(o.Config.Brake), leases: newLeases(o.Clock, o.Live),
			answering: newHabits(o.Clock, proof),
			refuted:   newRecent(o.Clock, mistrust),
			answers: func(ctx context.Context, hosts []netip.Addr,
				limit time.Duration) (bool, error) {
				return userSpaceAnswers(ctx, hosts, proof.KubeletPort, limit, g)
			},
			guard:         g,
			evidenceSeats: make(chan struct{}, maxTroubleWrites),
		},
	}, nil
}

// Addr returns the address that the listener is bound to.
func (l *Listener) Addr() netip.AddrPort { return l.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// NeedLeaderElection is false: the kernels choose which replica they send to.
func (l *Listener) NeedLeaderElection() bool { return false }

// Ready returns nil if panics of all kinds can be judged: the Leases must be known.
func (l *Listener) Ready() error {
	if !l.handler.leases.known() {
		return errors.New("the Leases of nodes are not known yet")
	}
	return nil
}

// Start listens until the context ends, and returns when all work that it began has stopped.
// Whoever reads the intent on the Node takes up what is unfinished then.
func (l *Listener) Start(ctx context.Context) error {
	l.handler.begin()
	defer l.handler.cases.shutDown()
	unwatchLeases, err := l.handler.leases.watch(ctx, l.informers,
		l.handler.guard)
	if err != nil {
		return err
	}
	defer unwatchLeases()
	unwatchNodes, err := l.watchNodes(ctx)
	if err != nil {
		return err
	}
	defer unwatchNodes()
	stop := context.AfterFunc(ctx, func() { _ = l.conn.Close() })
	defer stop()
	defer l.handler.work.Wait()
	l.handler.work.Go(func() { l.handler.run(ctx) })
	l.handler.work.Go(func() { l.handler.quietRounds(ctx) })
	l.log.Info("netconsole hears", "address", l.Addr().String())
	return l.receive(ctx)
}

// receive reads until the socket is closed.
func (l *Listener) receive(ctx context.Context) error {
	socket, err := newReceiver(l.conn)
	if err != nil {
		return err
	}
	for {
		datagrams, err := socket.receive()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive from netconsole's socket: %w", err)
		}
		l.takeAll(ctx, datagrams)
	}
}

// takeAll handles a batch. It reads the clock once, and adds to each metric once.
func (l *Listener) takeAll(ctx context.Context, datagrams []datagram) {
	var tally [outcomesEnd]int
	now := l.clock.Now()
	for _, d := range datagrams {
		tally[l.take(ctx, d.from, d.payload, now)]++
	}
	for o, n := range tally {
		if n > 0 {
			l.metrics.datagrams[o].Add(float64(n))
		}
	}
}

// take handles one datagram. If we panic over it, its sender starts afresh.
func (l *Listener) take(ctx context.Context, from netip.AddrPort, payload []byte,
	now time.Time) (o outcome) {
	o = outcomeFault
	if err := l.handler.guard.Do("datagram", func() error {
		o = l.decide(ctx, from, payload, now)
		return nil
	}); err != nil {
		if s, _ := l.addresses.find(from.Addr()); s != nil {
			s.reset()
		}
	}
	return o
}

// decide handles a datagram according to its sender and content.
func (l *Listener) decide(ctx context.Context, from netip.AddrPort, payload []byte,
	now time.Time) outcome {
	s, contested := l.addresses.find(from.Addr())
	switch {
	case contested:
		return outcomeContestedSender
	case s == nil:
		if s = l.vouchedFor(payload); s == nil {
			return outcomeUnknownSender
		}
	case l.config.RequirePrivilegedPort && from.Port() >= firstUnprivilegedPort:
		return outcomeUnprivilegedPort
	}
	o, h := s.push(payload, now)
	switch {
	case o == wire.OutcomePanic, o == wire.OutcomeCandidate && (h.extended || l.config.AcceptPlain):
		l.hear(ctx, s, h, now)
	case o == wire.OutcomeCandidate:
		l.handler.dismiss(s.uid, s)
		return outcomePlainRefused
	case o == wire.OutcomePanicRest && h.trust == trustSigned:
		l.handler.join(panicHeard(s, h, now))
	case h.trouble != nil:
		l.handler.noteEvidence(ctx, s, h, now)
	}
	return outcome(o)
}

// vouchedFor returns the sender that a datagram from an unknown address names, if it carries that
// node's token.
func (l *Listener) vouchedFor(payload []byte) *sender {
	if !l.config.AcceptNodeNames || len(payload) > wire.MaxDatagramBytes {
		return nil
	}
	r, ok := wire.ParseExtended(payload)
	if !ok {
		return nil
	}
	name, _ := r.Value(config.NameUserdata)
	s := l.addresses.named(name)
	if s == nil || !s.vouches(&r) {
		return nil
	}
	return s
}

const (
	// firstUnprivilegedPort is the first port that any process may use.
	firstUnprivilegedPort = 1024
	// roundsRemembered is for how many quiet rounds an answer is remembered.
	roundsRemembered = 3
)

// hear brings a panic to trial.
func (l *Listener) hear(ctx context.Context, s *sender, h heard, now time.Time) {
	l.handler.hear(ctx, panicHeard(s, h, now))
}

func panicHeard(s *sender, h heard, now time.Time) kernelPanic {
	return kernelPanic{node: s.name, uid: s.uid, bootID: h.bootID, line: h.line, words: s,
		heard: now, trust: h.trust}
}
