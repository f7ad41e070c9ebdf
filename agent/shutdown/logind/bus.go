package logind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind/wire"
)

const (
	name    = "org.freedesktop.login1"
	path    = "/org/freedesktop/login1"
	manager = name + ".Manager"

	daemon     = "org.freedesktop.DBus"
	daemonPath = "/org/freedesktop/DBus"

	systemd     = "org.freedesktop.systemd1"
	systemdPath = "/org/freedesktop/systemd1"
)

const (
	// callTimeout bounds each question to the bus or to logind.
	callTimeout = 5 * time.Second
	// backlog is how many events wait while a caller is being identified.
	backlog = 256
)

// ErrDeaf says that the bus does not let us hear who calls logind.
var ErrDeaf = errors.New("the bus does not allow its calls to be monitored")

// A Bus is the host's system bus.
type Bus struct {
	path   string
	asks   *client
	hears  *conn
	closed chan struct{}
	once   sync.Once
	events chan Event
	deaf   error
	// readers is what reads from hears.
	readers sync.WaitGroup
}

// Connect connects to the bus at a socket.
func Connect(ctx context.Context, socket string) (*Bus, error) {
	c, err := dial(ctx, socket, nil)
	if err != nil {
		return nil, fmt.Errorf("connect to the bus at %s: %w", socket, err)
	}
	b := &Bus{path: socket, asks: newClient(c), closed: make(chan struct{}),
		events: make(chan Event, backlog)}
	if b.hears, err = monitor(ctx, socket); err != nil {
		b.deaf = fmt.Errorf("%w: %w", ErrDeaf, err)
		b.hears, err = subscribe(ctx, socket)
	}
	if err != nil {
		b.asks.leave()
		return nil, fmt.Errorf("listen at the bus at %s: %w", socket, err)
	}
	// Ask for logind's connection after listening has begun: then nothing that is heard of it is
	// older.
	d := &decoder{logind: b.owner(ctx, name), systemd: b.owner(ctx, systemd)}
	b.readers.Go(func() { b.sort(d) })
	// systemd sends signals only to subscribers. Without systemd there is nothing to hear.
	_, _ = b.asks.call(ctx, systemd, systemdPath, systemd+".Manager.Subscribe")
	return b, nil
}

// Deaf returns why calls to logind are not heard; nil if they are. logind's signals are heard in
// any case.
func (b *Bus) Deaf() error { return b.deaf }

// Close leaves the bus. When it returns, nothing reads from the bus any more.
func (b *Bus) Close() error {
	b.once.Do(func() { close(b.closed) })
	b.hears.close()
	b.asks.leave()
	b.readers.Wait()
	return nil
}

// owner returns the connection behind a well-known name; empty if there is none.
func (b *Bus) owner(ctx context.Context, of string) string {
	m, err := b.asks.call(ctx, daemon, daemonPath, daemon+".GetNameOwner", of)
	if err != nil {
		return ""
	}
	owner, _ := m.Text(0)
	return owner
}

// MaxDelay returns how long logind lets a shutdown wait (InhibitDelayMaxSec= in logind.conf).
func (b *Bus) MaxDelay(ctx context.Context) (time.Duration, error) {
	m, err := b.property(ctx, name, path, manager, "InhibitDelayMaxUSec")
	if err != nil {
		return 0, err
	}
	const most = uint64(time.Hour / time.Microsecond)
	us, ok := m.Uint64(0)
	return time.Duration(min(us, most)) * time.Microsecond, expected(ok)
}

// Begun reports whether a shutdown has already begun.
func (b *Bus) Begun(ctx context.Context) (begun bool, err error) {
	m, err := b.property(ctx, name, path, manager, "PreparingForShutdown")
	if err != nil {
		return false, err
	}
	begun, ok := m.Bool(0)
	return begun, expected(ok)
}

// Stopping reports whether systemd is shutting down.
func (b *Bus) Stopping(ctx context.Context) (bool, error) {
	m, err := b.property(ctx, systemd, systemdPath, systemd+".Manager", "SystemState")
	if err != nil {
		return false, err
	}
	state, ok := m.Text(0)
	return state == "stopping", expected(ok)
}

func (b *Bus) property(ctx context.Context, to, object, of, property string) (wire.Message, error) {
	m, err := b.asks.call(ctx, to, object, "org.freedesktop.DBus.Properties.Get", of, property)
	if err != nil {
		return m, fmt.Errorf("read %s of %s: %w", property, to, err)
	}
	return m, nil
}

// expected returns an error for an answer of another type than the documented one.
func expected(ok bool) error {
	if !ok {
		return errors.New("the answer cannot be read")
	}
	return nil
}

// Process returns the process behind a name of the bus, and the user that it runs as.
func (b *Bus) Process(ctx context.Context, sender string) (pid, uid uint32, err error) {
	m, err := b.asks.call(ctx, daemon, daemonPath, daemon+".GetConnectionCredentials", sender)
	if err == nil {
		var hasPID, hasUID bool
		pid, hasPID = m.EntryUint32(0, "ProcessID")
		uid, hasUID = m.EntryUint32(0, "UnixUserID")
		err = expected(hasPID && hasUID)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("ask the bus who %s is: %w", sender, err)
	}
	return pid, uid, nil
}

// SeesProcesses reports whether the bus numbers processes as we do, that is, whether we are in the
// PID namespace of the host.
func (b *Bus) SeesProcesses(ctx context.Context) (bool, error) {
	pid, _, err := b.Process(ctx, b.asks.name)
	return err == nil && int(pid) == os.Getpid(), err
}

// Users returns the names of those who are logged in, by UID.
func (b *Bus) Users(ctx context.Context) (map[uint32]string, error) {
	m, err := b.asks.call(ctx, name, path, manager+".ListUsers")
	if err != nil {
		return nil, fmt.Errorf("ask logind who is logged in: %w", err)
	}
	return m.Names(0), nil
}

// UserName returns the name of a user who is logged in.
func (b *Bus) UserName(ctx context.Context, uid uint32) (string, error) {
	return b.named(ctx, name+".User", "GetUser", uid)
}

// SessionUser returns the name of the user in whose session a process is.
func (b *Bus) SessionUser(ctx context.Context, pid uint32) (string, error) {
	return b.named(ctx, name+".Session", "GetSessionByPID", pid)
}

func (b *Bus) named(ctx context.Context, of, method string,
	number uint32) (user string, err error) {
	m, err := b.asks.call(ctx, name, path, manager+"."+method, number)
	if err != nil {
		return "", fmt.Errorf("ask logind for %s of %d: %w", of, number, err)
	}
	object, ok := m.Text(0)
	if !ok {
		return "", expected(ok)
	}
	if m, err = b.property(ctx, name, object, of, "Name"); err != nil {
		return "", err
	}
	user, ok = m.Text(0)
	return user, expected(ok)
}
