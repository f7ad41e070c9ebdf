package logind_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
)

// policy is for a bus on which everybody may do everything; whether they may also hear everything
// is the bus's own rule.
const policy = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/><allow send_destination="*"/>
    <allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
  </policy>
</busconfig>
`

// aBus starts a dbus-daemon of its own, and returns its socket.
func aBus(t *testing.T) (socket string) {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("SKIPPED: dbus-daemon is missing: run make testtools")
	}
	dir := t.TempDir()
	socket = filepath.Join(dir, "bus")
	file := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(policy, "SOCKET", socket)),
		0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "--config-file="+file,
		"--nofork", "--print-address")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("dbus-daemon did not begin: %v", err)
	}
	return socket
}

func connect(t *testing.T, socket string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect("unix:path=" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// A manager plays logind's part on the bus.
type manager struct {
	conn *dbus.Conn
	mu   sync.Mutex
	// lock is logind's end of the lock, and given the one that was handed out.
	lock, given *os.File
	what        []string
}

const path = "/org/freedesktop/login1"

func play(t *testing.T, socket string) *manager {
	t.Helper()
	m := &manager{conn: connect(t, socket)}
	if err := m.conn.Export(m, path, "org.freedesktop.login1.Manager"); err != nil {
		t.Fatal(err)
	}
	if err := m.conn.Export(properties{}, path, "org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if err := m.conn.Export(properties{}, path+"/user/_1000",
		"org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if r, err := m.conn.RequestName("org.freedesktop.login1",
		dbus.NameFlagDoNotQueue); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("take logind's name: %v, %v", r, err)
	}
	return m
}

func (m *manager) Inhibit(what, who, why, mode string) (dbus.UnixFD, *dbus.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, w, err := os.Pipe()
	if err != nil {
		return 0, dbus.MakeFailedError(err)
	}
	m.lock, m.given, m.what = r, w, []string{what, who, why, mode}
	return dbus.UnixFD(w.Fd()), nil
}

func (m *manager) SetWallMessage(string, bool) *dbus.Error { return nil }

func (m *manager) PowerOffWithFlags(uint64) *dbus.Error {
	return dbus.MakeFailedError(errors.New("access denied"))
}

func (m *manager) RebootWithFlags(uint64) *dbus.Error {
	_ = m.conn.Emit(path, "org.freedesktop.login1.Manager.PrepareForShutdownWithMetadata", true,
		map[string]dbus.Variant{"type": dbus.MakeVariant("soft-reboot")})
	_ = m.conn.Emit(path, "org.freedesktop.login1.Manager.PrepareForShutdown", true)
	return nil
}

func (m *manager) ScheduleShutdown(string, uint64) *dbus.Error  { return nil }
func (m *manager) CancelScheduledShutdown() (bool, *dbus.Error) { return true, nil }
func (m *manager) GetUser(
	uint32) (dbus.ObjectPath, *dbus.Error) {
	return path + "/user/_1000", nil
}
func (m *manager) ListUsers() ([]user, *dbus.Error) {
	return []user{{1000, "alice", path + "/user/_1000"}, {1001, "bob", path + "/user/_1001"}}, nil
}
func (m *manager) GetSessionByPID(uint32) (dbus.ObjectPath, *dbus.Error) {
	return "", dbus.MakeFailedError(errors.New("no session"))
}

type user struct {
	UID    uint32
	Name   string
	Object dbus.ObjectPath
}

type properties struct{}

func (properties) Get(_, name string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant(map[string]any{"InhibitDelayMaxUSec": uint64(5_000_000),
		"PreparingForShutdown": false, "Name": "alice"}[name]), nil
}

// next skips the events that calls of the bus itself cause.
func next(t *testing.T, b *logind.Bus) logind.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e, err := b.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestBus(t *testing.T) {
	t.Parallel()
	socket := aBus(t)
	m := play(t, socket)
	b, err := logind.Connect(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	// Whoever started the bus may hear it, as root may.
	if err := b.Deaf(); err != nil {
		t.Fatal(err)
	}
	asks := connect(t, socket)
	us := asks.Names()[0]
	call := func(method string, args ...any) {
		asks.Object("org.freedesktop.login1", path).Call("org.freedesktop.login1.Manager."+method,
			0, args...)
	}
	call("SetWallMessage", "the end is near", true)
	call("PowerOffWithFlags", uint64(0))
	call("ScheduleShutdown", "halt", uint64(1_800_000_000_000_000))
	call("ScheduleShutdown", "dry-reboot", uint64(0))
	call("CancelScheduledShutdown")
	// What is asked of others, or of logind's other objects, is ignored.
	asks.Object(us, path).Go("org.freedesktop.login1.Manager.PowerOff", dbus.FlagNoReplyExpected,
		nil, true)
	asks.Object("org.freedesktop.login1", path+
		"/user/_1000").Call("org.freedesktop.login1.Manager.PowerOff", 0, true)
	asks.Object("org.freedesktop.login1", path).Call("org.example.Manager.PowerOff", 0, true)
	asks.Object(m.conn.Names()[0], path).Call(
		"org.freedesktop.login1.Manager.CancelScheduledShutdown", 0)
	// Nobody else can say that a shutdown begins, or that it was granted.
	if err := asks.Emit(path, "org.freedesktop.login1.Manager.PrepareForShutdown",
		true); err != nil {
		t.Fatal(err)
	}
	call("RebootWithFlags", uint64(1<<2))
	if err := m.conn.Emit(path, "org.freedesktop.login1.Manager.PrepareForShutdown",
		false); err != nil {
		t.Fatal(err)
	}
	_ = m.conn.Close()
	play(t, socket)
	want := []logind.Event{
		{Kind: logind.Greeted, Sender: us},
		{Kind: logind.Asked, Sender: us, What: "poweroff"},
		{Kind: logind.Refused, Sender: us},
		{Kind: logind.Scheduled, Sender: us, What: "halt",
			Due: time.UnixMicro(1_800_000_000_000_000)},
		{Kind: logind.Granted, Sender: us},
		{Kind: logind.Greeted, Sender: us},
		{Kind: logind.Unscheduled, Sender: us},
		{Kind: logind.Granted, Sender: us},
		{Kind: logind.Unscheduled, Sender: us},
		{Kind: logind.Granted, Sender: us},
		{Kind: logind.Asked, Sender: us, What: "soft-reboot"},
		{Kind: logind.Begins, What: "soft-reboot"},
		{Kind: logind.Begins},
		{Kind: logind.Granted, Sender: us},
		{Kind: logind.CalledOff},
		{Kind: logind.Restarted},
	}
	var refused, asked uint32
	for n, w := range want {
		got := next(t, b)
		if got.Kind == logind.Refused {
			refused = got.Call
		}
		if got.Kind == logind.Asked && asked == 0 {
			asked = got.Call
		}
		got.Call = 0
		if diff := cmp.Diff(w, got); diff != "" {
			t.Fatalf("event %d (-want +got):\n%s", n, diff)
		}
	}
	if refused == 0 || refused != asked {
		t.Errorf("call %d was asked for, and %d refused", asked, refused)
	}
}

func TestBusAnswers(t *testing.T) {
	t.Parallel()
	socket := aBus(t)
	m := play(t, socket)
	b, err := logind.Connect(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	ctx := t.Context()
	if d, err := b.MaxDelay(ctx); err != nil || d != 5*time.Second {
		t.Errorf("logind waits for %s, %v", d, err)
	}
	if begun, err := b.Begun(ctx); err != nil || begun {
		t.Errorf("a shutdown has begun: %v, %v", begun, err)
	}
	if sees, err := b.SeesProcesses(ctx); err != nil || !sees {
		t.Errorf("the bus numbers processes as we do: %v, %v", sees, err)
	}
	if pid, uid, err := b.Process(ctx, m.conn.Names()[0]); err != nil || int(pid) != os.Getpid() ||
		int(uid) != os.Getuid() {
		t.Errorf("we are process %d of user %d, %v", pid, uid, err)
	}
	if _, _, err := b.Process(ctx, ":1.999"); err == nil ||
		!strings.HasPrefix(err.Error(), "ask the bus who :1.999 is: ") {
		t.Errorf("who has left: %v", err)
	}
	if name, err := b.UserName(ctx, 1000); err != nil || name != "alice" {
		t.Errorf("UID 1000 is %q, %v", name, err)
	}
	if users, err := b.Users(ctx); err != nil ||
		!maps.Equal(users, map[uint32]string{1000: "alice", 1001: "bob"}) {
		t.Errorf("logged in are %v, %v", users, err)
	}
	if name, err := b.SessionUser(ctx, 1); err == nil {
		t.Errorf("PID 1 is in the session of %q", name)
	}
	lock, err := b.Delay(ctx, "we", "because")
	if err != nil {
		t.Fatal(err)
	}
	_ = lock.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	if diff := cmp.Diff([]string{"shutdown", "we", "because", "delay"}, m.what); diff != "" {
		t.Errorf("the lock (-want +got):\n%s", diff)
	}
	_ = m.given.Close()
	_ = m.lock.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := m.lock.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the lock is not given back: %d, %v", n, err)
	}
}

func TestNoBus(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "none")
	if _, err := logind.Connect(t.Context(), socket); err == nil ||
		err.Error() != "connect to the bus at "+socket+": dial unix "+socket+
			": connect: no such file or directory" {
		t.Errorf("no socket: %v", err)
	}
}

func TestBusHangsUp(t *testing.T) {
	t.Parallel()
	socket := aBus(t)
	b, err := logind.Connect(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	_ = b.Close()
	if _, err := b.Next(t.Context()); err == nil || err.Error() != "read from the bus: it closed the connection" {
		t.Errorf("next: %v", err)
	}
}
