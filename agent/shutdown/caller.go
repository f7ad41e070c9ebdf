package shutdown

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/process"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A caller is what is known of somebody on the bus. The zero value is nobody known.
type caller struct {
	sender             string
	who, verb, command string
	// privileged is root on the bus: neither logind nor polkit keeps it waiting.
	privileged bool
	// unnamed is the UID in who, while logind has not told the name.
	unnamed *uint32
}

// maxCallers bounds how many are remembered: systemctl greets logind an instant before it asks.
const maxCallers = 32

// lookTimeout bounds what is asked about a caller, or about a shutdown: the evidence must be
// written, with or without a name.
const lookTimeout = 1500 * time.Millisecond

// look finds out who is behind a name of the bus, at once: systemctl ends as soon as it has its
// answer. That is why it is looked into when it greets already, by setting the message for the
// users.
func (w *Watcher) look(ctx context.Context, bus Bus, sender string) caller {
	for _, c := range w.callers {
		if c.sender == sender {
			return c
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	c := w.identify(ctx, bus, sender)
	c.sender = sender
	w.callers = append(w.callers, c)
	w.callers = w.callers[max(0, len(w.callers)-maxCallers):]
	return c
}

func (w *Watcher) identify(ctx context.Context, bus Bus, sender string) caller {
	pid, uid, err := bus.Process(ctx, sender)
	if err != nil {
		w.Log.V(1).Info("a caller of logind is not known", "error", reason.Clean(err.Error()))
		return caller{}
	}
	c := w.person(ctx, bus, pid, uid)
	c.privileged = uid == 0
	return c
}

// person puts a name to a process that the bus knows.
func (w *Watcher) person(ctx context.Context, bus Bus, pid, uid uint32) caller {
	if w.visible {
		if o, err := w.Processes.Of(ctx, int(pid)); err == nil {
			return w.named(ctx, bus, o)
		}
	}
	if name, err := bus.SessionUser(ctx, pid); err == nil {
		return caller{who: name}
	}
	// What runs as root may have been started by anybody.
	if uid != 0 {
		c := caller{}
		w.setUser(ctx, bus, &c, uid)
		return c
	}
	return caller{}
}

// unattended is the service in which Debian and Ubuntu run unattended-upgrades.
const unattended = "apt-daily-upgrade.service"

// kernel is the name of who nobody started.
const kernel = "the kernel"

// named puts a name to where a request comes from: the pod before whoever may have started its
// runtime, who logged in before whom he has become, and a service before root, as which it runs.
func (w *Watcher) named(ctx context.Context, bus Bus, o process.Origin) caller {
	c := caller{verb: o.Verb, command: o.Command}
	switch {
	case o.Kernel:
		c.who = kernel
	case o.Pod != "":
		c.who = "pod " + o.Pod
	case o.Login != nil:
		w.setUser(ctx, bus, &c, *o.Login)
	case o.UID != nil:
		w.setUser(ctx, bus, &c, *o.UID)
	case o.Unit == unattended:
		c.who = "unattended-upgrades"
	case o.Unit != "":
		c.who = reason.CleanTo(o.Unit, reason.MaxByBytes)
	default:
		c.who = "root"
	}
	return c
}

// maxUsers bounds whose names are remembered.
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

// setUser names a user as logind does, which knows everybody who is logged in, or else by the
// number.
func (w *Watcher) setUser(ctx context.Context, bus Bus, c *caller, uid uint32) {
	if uid == 0 {
		c.who = "root"
		return
	}
	name := w.users[uid]
	if name == "" {
		name, _ = bus.UserName(ctx, uid)
	}
	if clean := reason.CleanTo(name, reason.MaxByBytes); clean != "" {
		c.who, c.unnamed = clean, nil
		return
	}
	c.who, c.unnamed = fmt.Sprintf("the user with UID %d", uid), &uid
}

// name asks once more for a name that logind did not tell in time.
func (w *Watcher) name(ctx context.Context, bus Bus, c *caller) {
	if c.unnamed != nil {
		w.setUser(ctx, bus, c, *c.unnamed)
	}
}

// search finds the one who runs halt, reboot … right now, if that is what begins; where there are
// several of different people, nobody.
func (w *Watcher) search(ctx context.Context, bus Bus, begins string) (found caller) {
	if !w.visible {
		return caller{}
	}
	running, err := w.Processes.Running(ctx)
	if err != nil {
		w.Log.Error(err, "not all processes were searched")
	}
	for _, o := range running {
		if o.Verb != reason.EvidenceShutdown && !becomes(o.Verb, begins) {
			continue
		}
		c := w.named(ctx, bus, o)
		if found.who != "" && found.who != c.who {
			return caller{}
		}
		found = c
	}
	return found
}

const (
	// justNow is how long before a shutdown the button that it comes from was pressed.
	justNow = 10 * time.Second
	// sinkIn is how long it may take until we hear of the button after logind has.
	sinkIn = 300 * time.Millisecond
)

// listen hears the power button, if the machine has one of ACPI's.
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
	select {
	case <-ctx.Done():
	case <-w.Clock.After(sinkIn):
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.pressed.IsZero() && w.Clock.Since(w.pressed) <= justNow
}
