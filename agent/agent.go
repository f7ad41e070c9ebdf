package agent

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent/configfs"
	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/agent/lastboot"
	"github.com/epitaph-k8s/epitaph/agent/listeners"
	"github.com/epitaph-k8s/epitaph/agent/route"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/termination"
)

// A Source lists the listeners.
type Source interface {
	Listeners(ctx context.Context) ([]listeners.Listener, error)
}

// LastBoot knows how the boot before this one ended. It is *lastboot.History.
type LastBoot interface {
	Look(now lastboot.Moment) (*lastboot.End, error)
	Told() error
}

// A Cluster is where the agent reports its node's state.
type Cluster struct {
	// Live reads the Node from the API server.
	Live       client.Reader
	Terminator *termination.Terminator
}

// Options are an agent's dependencies and configuration.
type Options struct {
	Config config.Agent
	// Node, BootID and Kernel are the name, the boot and the kernel's release of this machine.
	Node, BootID, Kernel string
	Source               Source
	// Cluster is nil if there is no API server: then the kernel sends no secret.
	Cluster *Cluster
	// Files prepares the kernel for targets and returns their directory.
	Files func() (configfs.Files, error)
	// Way returns the way to an address, and Own the addresses of this machine.
	Way func(netip.Addr) (route.Way, error)
	Own func() ([]netip.Addr, error)
	// Hold binds the source port. ConsoleLevel sets the console's log level.
	Hold         func(ctx context.Context, port int) (io.Closer, error)
	ConsoleLevel func(level int) error
	// Proc is where /proc is mounted, and Watchdogs where the kernel lists its watchdogs.
	Proc, Watchdogs string
	// LastBoot knows how the boot before this one ended, and Uptime how long this one has lasted.
	// Both may be nil.
	LastBoot LastBoot
	Uptime   func() (time.Duration, error)
	// Also returns other faults of this node, and Cloud what is heard from the cloud; both may be
	// nil.
	Also       func() []error
	Cloud      func() *termination.Cloud
	Clock      clock.Clock
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// An Agent maintains the netconsole targets of one kernel.
type Agent struct {
	Options
	metrics *metrics
	// held is the source port, once it is bound.
	held io.Closer
	// known are the listeners that were last heard of.
	known []listeners.Listener
	// speaksTo are the targets that the kernel was last seen with.
	speaksTo []configfs.Target
	secret   secret
	written  map[string]written
	last     string
	// lastEnd is how the boot before this one ended; nil if that is not known.
	lastEnd   *lastboot.End
	heartbeat heartbeat
}

// New returns an agent that has done nothing yet.
func New(o Options) (*Agent, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Agent{
		Options: o, metrics: m, written: map[string]written{},
		heartbeat: heartbeat{clock: o.Clock, period: o.Config.Period.Duration,
			began: o.Clock.Now()},
	}, nil
}

const (
	// settle is how long the agent waits after a change for further changes.
	settle = 500 * time.Millisecond
	// firstRetry is the wait after a pass with faults; it doubles up to the period.
	firstRetry = time.Second
)

// Run makes passes until the context ends: at each change, after a fault with growing waits, and
// once a period. The targets stay.
func (a *Agent) Run(ctx context.Context, changed <-chan struct{}) error {
	defer a.release()
	retry := firstRetry
	for {
		wait := a.Config.Period.Duration
		if r := a.Pass(ctx); len(r.Faults) > 0 {
			wait = min(wait, retry)
			retry = min(2*retry, a.Config.Period.Duration)
		} else {
			retry = firstRetry
		}
		if !a.wait(ctx, wait, changed) {
			return nil
		}
	}
}

// onceTimeout is how long Once retries: neighbours have to be resolved.
const onceTimeout = 10 * time.Second

// Once makes passes until nothing is wrong, or until onceTimeout. The source port is free again
// when it returns.
func (a *Agent) Once(ctx context.Context) Result {
	defer a.release()
	for begin := a.Clock.Now(); ; {
		r := a.Pass(ctx)
		if len(r.Faults) == 0 || a.Clock.Since(begin) >= onceTimeout ||
			!pause.For(ctx, a.Clock, firstRetry) {
			return r
		}
	}
}

// wait returns when there is something to do, or false when the context ends.
func (a *Agent) wait(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	early, ok := pause.Until(ctx, a.Clock, d, changed)
	return ok && (!early || pause.For(ctx, a.Clock, settle))
}

// hold binds the source port, unless it is bound already.
func (a *Agent) hold(ctx context.Context) error {
	if a.held != nil {
		return nil
	}
	held, err := a.Hold(ctx, a.Config.SourcePort)
	if err != nil {
		return fault.New(fault.SourcePortTaken, err,
			fmt.Sprintf("hold UDP port %d", a.Config.SourcePort),
			"set agent.sourcePort to a port below 1024 that no program has (ss -ulpn), and give the agent CAP_NET_BIND_SERVICE")
	}
	a.held = held
	return nil
}

func (a *Agent) release() {
	if a.held != nil {
		_ = a.held.Close() // The process ends.
	}
}
