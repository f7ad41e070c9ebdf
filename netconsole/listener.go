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
	"github.com/epitaph-k8s/epitaph/netconsole/wire"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/reason/kernel"
	"github.com/epitaph-k8s/epitaph/termination"
)

// Informers gives the informer of a kind. It is the manager's cache.
type Informers interface {
	GetInformer(ctx context.Context, obj client.Object,
		opts ...cache.InformerGetOption) (cache.Informer, error)
}

// Options are what a listener works with.
type Options struct {
	Config config.Netconsole
	Keys   reason.KeySet
	// Reader reads Nodes, NodeObituaries and Pods from a cache that indexes Pods by
	// "spec.nodeName"; Informers are that cache's, of Nodes and of Leases, which need hold no more
	// of one than [TrimLease] leaves.
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
	conn       *net.UDPConn
	config     config.Netconsole
	informers  Informers
	addresses  *addresses
	undertaker *undertaker
	metrics    *metrics
	clock      clock.Clock
	log        logr.Logger
}

// New opens the socket and returns a listener that Start makes read from it.
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
	proof := o.Config.ProofOfDeath
	return &Listener{
		conn: conn, config: o.Config, informers: o.Informers, addresses: index, metrics: m,
		clock: o.Clock, log: o.Log,
		undertaker: &undertaker{
			config: o.Config, keys: o.Keys, reader: o.Reader, live: o.Live,
			terminator: o.Terminator, obituary: o.Obituary,
			events: events{o.Recorder}, clock: o.Clock, metrics: m, log: o.Log,
			brake: newBrake(o.Config.Brake), leases: newLeases(o.Clock, o.Live),
			answering: newLately(o.Clock, roundsRemembered*proof.QuietRound.Duration),
			refuted:   newLately(o.Clock, mistrust),
			answers: func(ctx context.Context, hosts []netip.Addr) bool {
				return userSpaceAnswers(ctx, hosts, proof.KubeletPort, proof.Timeout.Duration)
			},
			witnesses: make(chan struct{}, maxTroubleWrites),
		},
	}, nil
}

// Addr is where the listener hears.
func (l *Listener) Addr() netip.AddrPort { return l.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// NeedLeaderElection is false: the kernels choose whom they talk to.
func (l *Listener) NeedLeaderElection() bool { return false }

// Ready tells whether panics of all kinds can be judged: it hears, and knows the Leases.
func (l *Listener) Ready() error {
	if !l.undertaker.leases.known() {
		return errors.New("the Leases of nodes are not known yet")
	}
	return nil
}

// Start hears until the context ends. It returns when all work that it began has stopped; what is
// unfinished then is taken up by whoever reads the intent on the Node.
func (l *Listener) Start(ctx context.Context) error {
	l.undertaker.begin()
	defer l.undertaker.cases.shutDown()
	unwatchLeases, err := l.undertaker.leases.watch(ctx, l.informers)
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
	defer l.undertaker.work.Wait()
	l.undertaker.work.Go(func() { l.undertaker.run(ctx) })
	l.undertaker.work.Go(func() { l.undertaker.quietRounds(ctx) })
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

// takeAll deals with a batch. One look at the clock and one addition per outcome do for all of it.
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

// take deals with one datagram.
func (l *Listener) take(ctx context.Context, from netip.AddrPort, payload []byte,
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
		l.undertaker.dismiss(s.uid, s)
		return outcomePlainRefused
	case o == wire.OutcomePanicRest && h.trust == trustSigned:
		l.undertaker.join(deathHeard(s, h, now))
	case h.trouble != nil:
		l.undertaker.witness(ctx, s, h, now)
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
	// firstUnprivilegedPort is where ports begin that any process may use.
	firstUnprivilegedPort = 1024
	// roundsRemembered is how many quiet rounds an answer is remembered.
	roundsRemembered = 3
)

// hear brings a panic to trial.
func (l *Listener) hear(ctx context.Context, s *sender, h heard, now time.Time) {
	l.undertaker.hear(ctx, deathHeard(s, h, now))
}

func deathHeard(s *sender, h heard, now time.Time) death {
	return death{node: s.name, uid: s.uid, bootID: h.bootID, line: h.line, words: s, heard: now,
		trust: h.trust}
}
