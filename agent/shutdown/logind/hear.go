package logind

import (
	"context"
	"errors"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind/wire"
)

// signals match what logind, systemd and the bus send to everybody.
func signals() []string {
	all := []string{
		"type='signal',sender='" + name + "',interface='" + manager +
			"',member='PrepareForShutdown'",
		"type='signal',sender='" + name + "',interface='" + manager +
			"',member='PrepareForShutdownWithMetadata'",
		"type='signal',sender='" + name + "',interface='" + manager + "',member='UserNew'",
		"type='signal',sender='" + daemon + "',interface='" + daemon +
			"',member='NameOwnerChanged',arg0='" + name + "'",
		"type='signal',sender='" + daemon + "',interface='" + daemon +
			"',member='NameOwnerChanged',arg0='" + systemd + "'",
	}
	for what := range types {
		for _, member := range []string{"JobNew", "JobRemoved"} {
			all = append(all, "type='signal',sender='"+systemd+"',interface='"+systemd+
				".Manager',member='"+member+"',arg2='"+what+".target'")
		}
	}
	return all
}

// calls match what others ask of logind, and what it answers.
var calls = []string{
	"type='method_call',destination='" + name + "'",
	"type='method_return',sender='" + name + "'",
	"type='error',sender='" + name + "'",
}

// monitor opens a connection that hears calls and signals in one order. Only root may do that, and
// nothing may be sent on it from then on.
func monitor(ctx context.Context, socket string) (*conn, error) {
	return listening(ctx, socket, func(c *conn) error {
		_, err := c.ask(daemon, daemonPath, "org.freedesktop.DBus.Monitoring.BecomeMonitor",
			append(signals(), calls...), uint32(0))
		return err
	})
}

// subscribe opens a connection that hears the signals alone, as anybody may.
func subscribe(ctx context.Context, socket string) (*conn, error) {
	return listening(ctx, socket, func(c *conn) error {
		for _, rule := range signals() {
			if _, err := c.ask(daemon, daemonPath, daemon+".AddMatch", rule); err != nil {
				return err
			}
		}
		return nil
	})
}

func listening(ctx context.Context, socket string, agree func(*conn) error) (*conn, error) {
	c, err := dial(ctx, socket, nil)
	if err == nil {
		err = c.within(ctx, func() error { return agree(c) })
	}
	return c, err
}

// sort keeps the messages that matter, even while a caller is being identified.
func (b *Bus) sort(d *decoder) {
	defer close(b.events)
	for {
		m, err := wire.Read(b.hears.in)
		if err != nil {
			return
		}
		if event, ok := d.decode(m); ok && !b.keep(event) {
			return
		}
	}
}

// keep waits for room, except with mere greetings and logins, of which anybody may cause as many as
// they like: a flood of them must not hide that a shutdown begins. It returns false when the bus is
// closed.
func (b *Bus) keep(e Event) bool {
	if (e.Kind == Greeted || e.Kind == LoggedIn) && len(b.events) == cap(b.events) {
		return true
	}
	select {
	case b.events <- e:
		return true
	case <-b.closed:
		return false
	}
}

// Next waits for the next event.
func (b *Bus) Next(ctx context.Context) (Event, error) {
	select {
	case <-ctx.Done():
		return Event{}, ctx.Err()
	case e, ok := <-b.events:
		if !ok {
			return Event{}, errors.New("read from the bus: it closed the connection")
		}
		return e, nil
	}
}
