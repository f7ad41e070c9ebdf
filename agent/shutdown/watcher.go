package shutdown

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/ledger"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/process"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A Bus is the host's system bus. *logind.Bus implements it.
type Bus interface {
	Next(ctx context.Context) (logind.Event, error)
	Deaf() error
	Delay(ctx context.Context, who, why string) (io.Closer, error)
	MaxDelay(ctx context.Context) (time.Duration, error)
	Begun(ctx context.Context) (bool, error)
	Stopping(ctx context.Context) (bool, error)
	Process(ctx context.Context, sender string) (pid, uid uint32, err error)
	SeesProcesses(ctx context.Context) (bool, error)
	Users(ctx context.Context) (map[uint32]string, error)
	UserName(ctx context.Context, uid uint32) (string, error)
	SessionUser(ctx context.Context, pid uint32) (string, error)
	Close() error
}

// Processes are those of the host. process.Proc implements it.
type Processes interface {
	Of(ctx context.Context, pid int) (process.Origin, error)
	Running(ctx context.Context) ([]process.Origin, error)
}

// A Writer keeps evidence on a Node. *termination.Terminator implements it.
type Writer interface {
	AddEvidence(ctx context.Context, node *corev1.Node, e reason.Evidence) error
	RemoveEvidence(ctx context.Context, node *corev1.Node,
		forgettable func(reason.Evidence) bool) error
}

// Options are a watcher's dependencies and configuration.
type Options struct {
	Config config.Shutdown
	// Node and BootID are the name and the boot of this machine.
	Node, BootID string
	// Live reads the Node from the API server.
	Live       client.Reader
	Terminator Writer
	Connect    func(ctx context.Context, socket string) (Bus, error)
	Processes  Processes
	// Button calls pressed when the power button is pressed.
	Button func(ctx context.Context, pressed func()) error
	Clock  clock.Clock
	Log    logr.Logger
}

// A Watcher waits for the machine to be switched off.
type Watcher struct {
	Options
	// ledger holds what may become a shutdown, callers those identified last, and later what was
	// heard too early.
	ledger  ledger.Ledger
	callers []caller
	later   []logind.Event
	// users are the names of those who have logged in, by UID: by the time they matter, they may
	// have been logged out.
	users map[uint32]string
	// ending says that the machine is shutting down, and all was done about it; pastLogind, that
	// logind was not asked.
	ending, pastLogind bool
	// visible says that the bus numbers processes as we do.
	visible bool
	lock    io.Closer
	// unforget cancels the removal of evidence.
	unforget context.CancelFunc
	// working is what runs beside the loop of [Watcher.Run], which waits for it.
	working sync.WaitGroup

	mu      sync.Mutex
	pressed time.Time
	faults  []error
}

// New returns a watcher; Run starts it.
func New(o Options) *Watcher { return &Watcher{Options: o, unforget: func() {}} }

const (
	// firstRetry is the wait after a failure; it doubles up to maxRetry, and starts over after calm
	// without one.
	firstRetry = time.Second
	maxRetry   = 30 * time.Second
	calm       = time.Minute
)

// Run watches until the context ends, and starts over whenever the bus is lost.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.working.Wait()
	w.working.Go(func() { w.listen(ctx) })
	for retry := firstRetry; ; retry = min(2*retry, maxRetry) {
		began := w.Clock.Now()
		err := w.follow(ctx)
		w.release()
		if ctx.Err() != nil {
			return nil
		}
		w.blame(err)
		w.Log.Info("nobody would be named for a shutdown", "error", err.Error(), "retryIn", retry)
		if w.Clock.Since(began) > calm {
			retry = firstRetry
		}
		if !pause.For(ctx, w.Clock, retry) {
			return nil
		}
	}
}

// follow watches one connection to the bus until it is lost.
func (w *Watcher) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bus, err := w.Connect(ctx, w.Config.SystemBus)
	if err != nil {
		return fault.New(fault.NoSystemBus, err, "reach the host's system bus",
			"mount the host's /run/dbus into the pod, or set agent.shutdown.enabled to false where the host has no systemd")
	}
	defer bus.Close()
	w.ledger, w.callers, w.later = ledger.Ledger{}, nil, nil
	if err := w.begin(ctx, bus); err != nil {
		return err
	}
	for {
		e, err := w.next(ctx, bus)
		if err != nil {
			w.lastLook(ctx, bus)
			return fault.New(fault.NoSystemBus, err,
				"listen at the host's system bus", "it will be retried")
		}
		w.handle(ctx, bus, e)
	}
}

// lastLookTimeout is how much longer we listen to the bus when the agent is terminated because the
// machine shuts down.
const lastLookTimeout = 500 * time.Millisecond

// lastLook listens to the end: if logind was not asked, systemd ends everything at once, including
// us.
func (w *Watcher) lastLook(ctx context.Context, bus Bus) {
	if ctx.Err() == nil {
		return // The bus has ended, not the agent.
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLookTimeout)
	defer cancel()
	if stopping, err := bus.Stopping(ctx); err != nil || !stopping {
		return
	}
	for !w.ending {
		e, err := w.next(ctx, bus)
		if err != nil {
			return
		}
		w.handle(ctx, bus, e)
	}
}

// begin takes the lock, unless a shutdown has begun: then logind gives none, and what was written
// stays.
func (w *Watcher) begin(ctx context.Context, bus Bus) error {
	begun, err := bus.Begun(ctx)
	if stopping, errStopping := bus.Stopping(ctx); err == nil && errStopping == nil {
		begun = begun || stopping
	}
	w.ending, w.pastLogind = begun, false
	if err == nil && !begun {
		err = w.take(ctx, bus)
	}
	if err != nil {
		return fault.New(fault.NoDelayLock, err, "delay shutdowns",
			"see whether systemd-logind runs, and lets root take a delay lock (systemd-inhibit --list)")
	}
	w.visible, err = bus.SeesProcesses(ctx)
	w.blame(w.limits(bus.Deaf(), err)...)
	w.meet(ctx, bus)
	if !begun {
		w.forget(ctx)
	}
	w.Log.Info("waiting for a shutdown", "begun", begun, "callers", bus.Deaf() == nil,
		"processes", w.visible)
	return nil
}

// limits returns what keeps names from being known.
func (w *Watcher) limits(deaf, blind error) (all []error) {
	if deaf != nil {
		all = append(all, fault.New(fault.CallersUnheard, deaf,
			"hear who calls logind",
			"run the agent as root; who asks for a shutdown is known only by chance otherwise"))
	}
	if !w.visible {
		all = append(all, fault.New(fault.ProcessesHidden, blind,
			"the host's processes cannot be seen",
			"give the pod hostPID: true; otherwise who ran a command by sudo is known by his session alone, and pods and services are not named"))
	}
	return all
}

const (
	lockName = "epitaph agent"
	lockWhy  = "writes onto the Node who switches the machine off"
)

// take takes a lock, and replaces an existing one.
func (w *Watcher) take(ctx context.Context, bus Bus) error {
	lock, err := bus.Delay(ctx, lockName, lockWhy)
	if err != nil {
		return err
	}
	w.release()
	w.lock = lock
	return nil
}

// release lets the shutdown go on.
func (w *Watcher) release() {
	if w.lock != nil {
		_ = w.lock.Close() // logind only needs it closed.
		w.lock = nil
	}
}

// blame replaces the faults by those of now.
func (w *Watcher) blame(faults ...error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = faults
}

// Faults returns what keeps the node from saying who switched it off.
func (w *Watcher) Faults() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faults
}
