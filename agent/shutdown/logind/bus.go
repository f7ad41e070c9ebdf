package logind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	name    = "org.freedesktop.login1"
	path    = "/org/freedesktop/login1"
	manager = name + ".Manager"
	daemon  = "org.freedesktop.DBus"
)

const (
	// callTimeout bounds each question to the bus or to logind.
	callTimeout = 5 * time.Second
	// backlog is how many messages wait to be read while a caller is looked into.
	backlog = 256
)

// ErrDeaf says that the bus does not let us hear who calls logind.
var ErrDeaf = errors.New("the bus does not let its calls be heard")

// A Bus is the host's system bus.
type Bus struct {
	asks, hears *dbus.Conn
	events      chan Event
	deaf        error
}

// Connect reaches the bus by its socket. It is closed when the context ends.
func Connect(ctx context.Context, socket string) (*Bus, error) {
	b := &Bus{events: make(chan Event, backlog)}
	var err error
	if b.asks, err = dial(ctx, socket); err != nil {
		return nil, fmt.Errorf("connect to the bus at %s: %w", socket, err)
	}
	var heard chan *dbus.Message
	if b.hears, heard, err = monitor(ctx, socket); err != nil {
		b.deaf = fmt.Errorf("%w: %w", ErrDeaf, err)
		b.hears, heard, err = subscribe(ctx, socket)
	}
	if err != nil {
		_ = b.asks.Close()
		return nil, fmt.Errorf("listen at the bus at %s: %w", socket, err)
	}
	go b.sort(heard)
	context.AfterFunc(ctx, func() { _ = b.Close() }) // Nobody is left to be told.
	return b, nil
}

// dial gives up on a bus that lets one in and then says nothing. The connection outlives the context: see hangUp.
func dial(ctx context.Context, socket string) (*dbus.Conn, error) {
	patience, done := context.WithTimeout(ctx, callTimeout)
	defer done()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(patience, end)
	conn, err := dbus.Connect("unix:path="+socket, dbus.WithContext(life))
	if !stop() && err == nil {
		err = patience.Err()
	}
	if err != nil {
		end()
		return nil, err
	}
	return conn, nil
}

// Deaf is why calls to logind are not heard, if they are not; logind's signals are heard all the same.
func (b *Bus) Deaf() error { return b.deaf }

// Close leaves the bus.
func (b *Bus) Close() error {
	hangUp(b.hears)
	return b.asks.Close()
}

func (b *Bus) call(ctx context.Context, o dbus.BusObject, method string, args ...any) *dbus.Call {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return o.CallWithContext(ctx, method, 0, args...)
}

func (b *Bus) logind() dbus.BusObject { return b.asks.Object(name, path) }

// Delay has each shutdown wait until the lock is closed, at most for as long as MaxDelay says.
func (b *Bus) Delay(ctx context.Context, who, why string) (io.Closer, error) {
	var fd dbus.UnixFD
	if err := b.call(ctx, b.logind(), manager+".Inhibit", "shutdown", who, why, "delay").Store(&fd); err != nil {
		return nil, fmt.Errorf("take a delay lock from logind: %w", err)
	}
	return os.NewFile(uintptr(fd), "logind's delay lock"), nil
}

// MaxDelay is for how long logind lets a shutdown wait (InhibitDelayMaxSec= in logind.conf).
func (b *Bus) MaxDelay(ctx context.Context) (time.Duration, error) {
	var us uint64
	if err := b.property(ctx, path, manager, "InhibitDelayMaxUSec", &us); err != nil {
		return 0, err
	}
	const most = uint64(time.Hour / time.Microsecond)
	return time.Duration(min(us, most)) * time.Microsecond, nil
}

// Begun tells whether a shutdown has begun already.
func (b *Bus) Begun(ctx context.Context) (begun bool, err error) {
	err = b.property(ctx, path, manager, "PreparingForShutdown", &begun)
	return begun, err
}

func (b *Bus) property(ctx context.Context, object dbus.ObjectPath, of, property string, to any) error {
	err := b.call(ctx, b.asks.Object(name, object), "org.freedesktop.DBus.Properties.Get", of, property).Store(to)
	if err != nil {
		return fmt.Errorf("read %s of logind: %w", property, err)
	}
	return nil
}

// Process is the process behind a name of the bus, and the user that it runs as.
func (b *Bus) Process(ctx context.Context, sender string) (pid, uid uint32, err error) {
	if err = b.call(ctx, b.asks.BusObject(), daemon+".GetConnectionUnixProcessID", sender).Store(&pid); err == nil {
		err = b.call(ctx, b.asks.BusObject(), daemon+".GetConnectionUnixUser", sender).Store(&uid)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("ask the bus who %s is: %w", sender, err)
	}
	return pid, uid, nil
}

// SeesProcesses tells whether the bus numbers processes as we do: whether we are in the PID namespace of the host.
func (b *Bus) SeesProcesses(ctx context.Context) (bool, error) {
	pid, _, err := b.Process(ctx, b.asks.Names()[0])
	return err == nil && int(pid) == os.Getpid(), err
}

// UserName is the name of a user who is logged in.
func (b *Bus) UserName(ctx context.Context, uid uint32) (string, error) {
	return b.named(ctx, name+".User", "GetUser", uid)
}

// SessionUser is the name of the user in whose session a process is.
func (b *Bus) SessionUser(ctx context.Context, pid uint32) (string, error) {
	return b.named(ctx, name+".Session", "GetSessionByPID", pid)
}

func (b *Bus) named(ctx context.Context, of, method string, number uint32) (user string, err error) {
	var object dbus.ObjectPath
	if err := b.call(ctx, b.logind(), manager+"."+method, number).Store(&object); err != nil {
		return "", fmt.Errorf("ask logind for %s of %d: %w", of, number, err)
	}
	err = b.property(ctx, object, of, "Name", &user)
	return user, err
}
