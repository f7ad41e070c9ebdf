package logind

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind/wire"
)

// heard returns a message with such arguments, as it is until a test changes it: alice's call to
// logind.
func heard(t *testing.T, member string, args ...any) wire.Message {
	t.Helper()
	sent, err := wire.Call{Serial: 7, Destination: name, Path: path, Interface: manager,
		Member: member, Args: args}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.Read(bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	m.Sender = ":1.7"
	return m
}

const logindName, systemdName = ":1.3", ":1.1"

// A monitor of dbus-broker hears what is asked of others, and anybody may send a signal to one
// receiver alone: only the names tell.
func TestNamesAreCompared(t *testing.T) {
	t.Parallel()
	asked := Event{Kind: Asked, Sender: ":1.7", Call: 7, What: "poweroff"}
	began := Event{Kind: Started, What: "reboot"}
	signal := func(from, of, at string) func(*wire.Message) {
		return func(m *wire.Message) {
			m.Type, m.Sender, m.Interface, m.Path, m.Destination = wire.Signal, from, of, at, ""
		}
	}
	systemdManager := systemd + ".Manager"
	job := []any{uint32(9), "/org/freedesktop/systemd1/job/9", "reboot.target"}
	tests := map[string]struct {
		member string
		args   []any
		change func(*wire.Message)
		want   Event
	}{
		"logind by its name": {member: "PowerOff", want: asked},
		"logind by its connection": {member: "PowerOff",
			change: func(m *wire.Message) { m.Destination = logindName }, want: asked},
		"without an interface": {member: "PowerOff",
			change: func(m *wire.Message) { m.Interface = "" }, want: asked},
		"somebody else": {member: "PowerOff",
			change: func(m *wire.Message) { m.Destination = "org.example" }},
		"somebody else's connection": {member: "PowerOff",
			change: func(m *wire.Message) { m.Destination = ":1.4" }},
		"nobody": {member: "PowerOff",
			change: func(m *wire.Message) { m.Destination = "" }},
		"another object": {member: "PowerOff",
			change: func(m *wire.Message) { m.Path = path + "/session/_31" }},
		"another interface": {member: "PowerOff",
			change: func(m *wire.Message) { m.Interface = "org.example.Manager" }},

		"systemd begins": {"JobNew", job,
			signal(systemdName, systemdManager, systemdPath), began},
		"somebody else says so": {"JobNew", job,
			signal(":1.4", systemdManager, systemdPath), Event{}},
		"logind says so": {"JobNew", job,
			signal(logindName, systemdManager, systemdPath), Event{}},
		"another target": {"JobNew",
			[]any{uint32(9), "/j", "rescue.target"},
			signal(systemdName, systemdManager, systemdPath), Event{}},
		"no target": {"JobNew", []any{uint32(9), "/j", "reboot"},
			signal(systemdName, systemdManager, systemdPath), Event{}},
		"no arguments": {"JobNew", nil,
			signal(systemdName, systemdManager, systemdPath), Event{}},
		"systemd gives it up": {"JobRemoved", append(job, "canceled"),
			signal(systemdName, systemdManager, systemdPath), Event{Kind: GivenUp, What: "reboot"}},
		"systemd has done it": {"JobRemoved", append(job, "done"),
			signal(systemdName, systemdManager, systemdPath), Event{}},
		"somebody forges the bus": {"NameOwnerChanged",
			[]any{name, logindName, ":1.4"}, signal(":1.4", daemon, daemonPath), Event{}},
		"somebody logs in": {"UserNew", nil,
			signal(logindName, manager, path), Event{Kind: LoggedIn}},
		"somebody else says that somebody logs in": {"UserNew", nil, signal(":1.4", manager, path),
			Event{}},
		"logind sleeps": {"PrepareForSleep", nil,
			signal(logindName, manager, path), Event{}},
		"an answer to nobody's": {"", nil,
			func(m *wire.Message) { m.Type, m.Sender = wire.MethodReturn, logindName }, Event{}},
		"a message of no known type": {"PowerOff", nil,
			func(m *wire.Message) { m.Type = 9 }, Event{}},
	}
	for name, tc := range tests {
		m := heard(t, tc.member, tc.args...)
		if tc.change != nil {
			tc.change(&m)
		}
		d := &decoder{logind: logindName, systemd: systemdName}
		got, ok := d.decode(m)
		if diff := cmp.Diff(tc.want, got); ok != (tc.want != Event{}) || ok && diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, ok, diff)
		}
		if d.logind != logindName {
			t.Errorf("%s: logind is %s now", name, d.logind)
		}
	}
}

// An answer counts once, and only if logind gave it to the caller. A new logind has nothing to
// answer.
func TestAnswers(t *testing.T) {
	t.Parallel()
	d := &decoder{logind: logindName, systemd: systemdName}
	answer := func(from, to string, serial uint32, kind wire.Type) (Event, bool) {
		return d.decode(wire.Message{Type: kind, Sender: from, Destination: to, ReplySerial: serial})
	}
	d.decode(heard(t, "PowerOff"))
	for _, wrong := range []func() (Event, bool){
		func() (Event, bool) { return answer(":1.4", ":1.7", 7, wire.MethodReturn) },
		func() (Event, bool) { return answer(logindName, ":1.8", 7, wire.MethodReturn) },
		func() (Event, bool) { return answer(logindName, ":1.7", 8, wire.Error) },
	} {
		if got, ok := wrong(); ok {
			t.Errorf("it counts: %+v", got)
		}
	}
	if got, ok := answer(logindName, ":1.7", 7, wire.MethodReturn); !ok || got.Kind != Granted ||
		got.Sender != ":1.7" || got.Call != 7 {
		t.Errorf("it is %+v, %v", got, ok)
	}
	if got, ok := answer(logindName, ":1.7", 7, wire.MethodReturn); ok {
		t.Errorf("it counts twice: %+v", got)
	}
	d.decode(heard(t, "PowerOff"))
	changed := heard(t, "NameOwnerChanged", name, logindName, ":1.9")
	changed.Type, changed.Sender, changed.Interface = wire.Signal, daemon, daemon
	if got, ok := d.decode(changed); !ok || got.Kind != Restarted {
		t.Errorf("a new logind is %+v, %v", got, ok)
	}
	if got, ok := answer(":1.9", ":1.7", 7, wire.Error); ok {
		t.Errorf("the new one answers: %+v", got)
	}
	for range 2 * maxOpen {
		d.decode(heard(t, "PowerOff"))
	}
	if len(d.open) > maxOpen {
		t.Errorf("%d questions are open", len(d.open))
	}
}
