package logind

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// signals are what logind and the bus tell everybody.
var signals = []string{
	"type='signal',sender='" + name + "',interface='" + manager + "',member='PrepareForShutdown'",
	"type='signal',sender='" + name + "',interface='" + manager + "',member='PrepareForShutdownWithMetadata'",
	"type='signal',sender='" + daemon + "',interface='" + daemon + "',member='NameOwnerChanged',arg0='" + name + "'",
}

// calls are what others ask of logind, and what it refuses.
var calls = []string{
	"type='method_call',destination='" + name + "'",
	"type='error',sender='" + name + "'",
}

// monitor makes a connection that hears calls and signals in one order. The bus lets only root do that.
func monitor(ctx context.Context, socket string) (*dbus.Conn, chan *dbus.Message, error) {
	return listening(ctx, socket, func(conn *dbus.Conn) []*dbus.Call {
		return []*dbus.Call{conn.BusObject().Go("org.freedesktop.DBus.Monitoring.BecomeMonitor", 0, nil, append(calls, signals...), uint32(0))}
	})
}

// subscribe makes a connection that hears the signals alone, as everybody may.
func subscribe(ctx context.Context, socket string) (*dbus.Conn, chan *dbus.Message, error) {
	return listening(ctx, socket, func(conn *dbus.Conn) (all []*dbus.Call) {
		for _, rule := range signals {
			all = append(all, conn.BusObject().Go(daemon+".AddMatch", 0, nil, rule))
		}
		return all
	})
}

// listening asks the bus, and waits until it has agreed. A monitor that answers anything is thrown out, and the library answers
// calls that it reads: so it reads none from the beginning, and the bus's own answers are read here.
func listening(ctx context.Context, socket string, ask func(*dbus.Conn) []*dbus.Call) (*dbus.Conn, chan *dbus.Message, error) {
	conn, err := dial(ctx, socket)
	if err != nil {
		return nil, nil, err
	}
	heard := make(chan *dbus.Message, backlog)
	conn.Eavesdrop(heard)
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for range ask(conn) {
		if err := agreed(ctx, heard); err != nil {
			hangUp(conn)
			return nil, nil, err
		}
	}
	return conn, heard, nil
}

// hangUp closes a connection that is heard. The library closes the channel then, and may still send to it, which panics (godbus 5.2):
// so it is taken away first.
func hangUp(conn *dbus.Conn) {
	conn.Eavesdrop(nil)
	_ = conn.Close() // It is gone either way.
}

// agreed waits for one answer.
func agreed(ctx context.Context, heard <-chan *dbus.Message) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m, ok := <-heard:
			switch {
			case !ok:
				return errors.New("the bus hung up")
			case m.Type == dbus.TypeError:
				return refusal(m)
			case m.Type == dbus.TypeMethodReply:
				return nil
			}
		}
	}
}

func refusal(m *dbus.Message) error {
	code, _ := m.Headers[dbus.FieldErrorName].Value().(string)
	return fmt.Errorf("%s %v", code, m.Body)
}

// sort keeps what matters of what is heard, while a caller is looked into: the library drops what nobody takes.
func (b *Bus) sort(heard <-chan *dbus.Message) {
	defer close(b.events)
	for {
		select {
		case <-b.hears.Context().Done():
			return
		case m, ok := <-heard:
			if !ok {
				return
			}
			if e, ok := eventIn(m); ok && !b.keep(e) {
				return
			}
		}
	}
}

// keep waits for room, but not with mere questions, of which everybody may ask as many as he likes: a flood of them must not hide that a
// shutdown begins. It is false when the bus is closed.
func (b *Bus) keep(e Event) bool {
	if e.Kind == Greeted && len(b.events) == cap(b.events) {
		return true
	}
	select {
	case b.events <- e:
		return true
	case <-b.hears.Context().Done():
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
			return Event{}, errors.New("hear the bus: it hung up")
		}
		return e, nil
	}
}
