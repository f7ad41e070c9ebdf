package shutdown

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/ledger"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/process"
	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A caller is a connection on the bus that has been identified.
type caller struct {
	sender string
	ledger.Caller
}

// maxCallers bounds how many are remembered: systemctl greets logind an instant before its request.
const maxCallers = 32

// lookTimeout bounds what is asked about a caller, or about a shutdown: the evidence must be
// written, with or without a name.
const lookTimeout = 1500 * time.Millisecond

// look identifies a sender on the bus at once: systemctl ends as soon as it has its answer. So we
// already identify it when it greets logind by setting the message for the users.
func (w *Watcher) look(ctx context.Context, bus Bus, sender string) ledger.Caller {
	for _, c := range w.callers {
		if c.sender == sender {
			return c.Caller
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	c := w.identify(ctx, bus, sender)
	w.callers = append(w.callers, caller{sender, c})
	w.callers = w.callers[max(0, len(w.callers)-maxCallers):]
	return c
}

func (w *Watcher) identify(ctx context.Context, bus Bus, sender string) ledger.Caller {
	pid, uid, err := bus.Process(ctx, sender)
	if err != nil {
		w.Log.V(1).Info("caller of logind unknown", "error", reason.Clean(err.Error()))
		return ledger.Caller{}
	}
	c := w.person(ctx, bus, pid, uid)
	c.Privileged = uid == 0
	return c
}

// person names the process behind a connection.
func (w *Watcher) person(ctx context.Context, bus Bus, pid, uid uint32) ledger.Caller {
	if w.visible {
		if o, err := w.Processes.Of(ctx, int(pid)); err == nil {
			return w.named(ctx, bus, o)
		}
	}
	if name, err := bus.SessionUser(ctx, pid); err == nil {
		return ledger.Caller{Who: name}
	}
	// Anybody may have started what runs as root.
	if uid != 0 {
		c := ledger.Caller{}
		w.setUser(ctx, bus, &c, uid)
		return c
	}
	return ledger.Caller{}
}

// unattended is the service in which Debian and Ubuntu run unattended-upgrades.
const unattended = "apt-daily-upgrade.service"

// kernel is the name for what the kernel itself started.
const kernel = "the kernel"

// named names the origin of a request: the pod takes precedence over whoever may have started its
// runtime, the user who logged in over the user they have become, and a service over root, as which
// it runs.
func (w *Watcher) named(ctx context.Context, bus Bus, o process.Origin) ledger.Caller {
	c := ledger.Caller{Verb: o.Verb, Command: o.Command}
	switch {
	case o.Kernel:
		c.Who = kernel
	case o.Pod != "":
		c.Who = "pod " + o.Pod
	case o.Login != nil:
		w.setUser(ctx, bus, &c, *o.Login)
	case o.UID != nil:
		w.setUser(ctx, bus, &c, *o.UID)
	case o.Unit == unattended:
		c.Who = "unattended-upgrades"
	case o.Unit != "":
		c.Who = reason.CleanTo(o.Unit, reason.MaxByBytes)
	default:
		c.Who = "root"
	}
	return c
}

// maxUsers bounds how many names are remembered.
const maxUsers = 4096

// meet learns the names of those who are logged in. A shutdown logs them out.
func (w *Watcher) meet(ctx context.Context, bus Bus) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	users, err := bus.Users(ctx)
	if err != nil {
		w.Log.V(1).Info("who is logged in is not known", "error", reason.Clean(err.Error()))
	}
	if w.users == nil || len(w.users) > maxUsers {
		w.users = map[uint32]string{}
	}
	maps.Copy(w.users, users)
}

// setUser names a user as logind does, which knows everybody who is logged in, or else by UID.
func (w *Watcher) setUser(ctx context.Context, bus Bus, c *ledger.Caller, uid uint32) {
	if uid == 0 {
		c.Who = "root"
		return
	}
	name := w.users[uid]
	if name == "" {
		name, _ = bus.UserName(ctx, uid)
	}
	if clean := reason.CleanTo(name, reason.MaxByBytes); clean != "" {
		c.Who, c.Unnamed = clean, nil
		return
	}
	c.Who, c.Unnamed = fmt.Sprintf("the user with UID %d", uid), &uid
}

// name asks once more for a name that logind did not provide in time.
func (w *Watcher) name(ctx context.Context, bus Bus, c *ledger.Caller) {
	if c.Unnamed != nil {
		w.setUser(ctx, bus, c, *c.Unnamed)
	}
}

// search finds those who are running halt, reboot … right now, if that is what begins.
func (w *Watcher) search(ctx context.Context, bus Bus, begins string) (found []ledger.Caller) {
	if !w.visible {
		return nil
	}
	running, err := w.Processes.Running(ctx)
	if err != nil {
		w.Log.Error(err, "not all processes were searched")
	}
	for _, o := range running {
		if o.Verb == reason.EvidenceShutdown || ledger.Becomes(o.Verb, begins) {
			found = append(found, w.named(ctx, bus, o))
		}
	}
	return found
}

const (
	// justNow is how long before a shutdown the button may have been pressed to be its cause.
	justNow = 10 * time.Second
	// sinkIn is how much later than logind we may hear of the button.
	sinkIn = 300 * time.Millisecond
)

// listen listens for the power button, if the machine has an ACPI one.
func (w *Watcher) listen(ctx context.Context) {
	err := w.Button(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pressed = w.Clock.Now()
	})
	if err != nil {
		w.Log.Info("the power button is not heard", "error", err.Error())
	}
}

func (w *Watcher) wasPressed(ctx context.Context) bool {
	pause.For(ctx, w.Clock, sinkIn)
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.pressed.IsZero() && w.Clock.Since(w.pressed) <= justNow
}
