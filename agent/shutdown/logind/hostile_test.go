package logind_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind/wire"
)

// A peer is somebody on the bus who sends what no library would.
type peer struct {
	*net.UnixConn
	name   string
	serial uint32
}

func aPeer(t *testing.T, socket string) *peer {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p := &peer{UnixConn: conn.(*net.UnixConn)}
	said := "\x00AUTH EXTERNAL " + hex.EncodeToString([]byte(strconv.Itoa(os.Getuid()))) +
		"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
	if _, err := io.WriteString(conn, said); err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	for lines := 0; lines < 2; {
		if _, err := io.ReadFull(conn, one); err != nil {
			t.Fatal(err)
		}
		if one[0] == '\n' {
			lines++
		}
	}
	p.name, _ = p.ask(t, "Hello").Text(0)
	return p
}

// ask calls a method of the bus itself.
func (p *peer) ask(t *testing.T, method string, args ...any) wire.Message {
	t.Helper()
	p.serial++
	call, err := wire.Call{
		Serial: p.serial, Destination: "org.freedesktop.DBus", Path: "/org/freedesktop/DBus",
		Interface: "org.freedesktop.DBus", Member: method, Args: args,
	}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(call); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := wire.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		if m.Type == wire.MethodReturn && m.ReplySerial == p.serial {
			return m
		}
	}
}

// A letter is what a peer sends: a body as bytes under a signature, and file descriptors.
type letter struct {
	kind                  dbus.Type
	to, member, signature string
	body                  []byte
	descriptors           int
	big, withoutInterface bool
}

func (p *peer) send(t *testing.T, l letter) {
	t.Helper()
	p.serial++
	headers := map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath:   dbus.MakeVariant(dbus.ObjectPath(path)),
		dbus.FieldMember: dbus.MakeVariant(l.member), dbus.FieldDestination: dbus.MakeVariant(l.to),
	}
	if !l.withoutInterface {
		headers[dbus.FieldInterface] = dbus.MakeVariant("org.freedesktop.login1.Manager")
	}
	if l.signature != "" {
		headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.ParseSignatureMust(l.signature))
	}
	if l.descriptors > 0 {
		headers[dbus.FieldUnixFDs] = dbus.MakeVariant(uint32(l.descriptors))
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if l.big {
		order = binary.BigEndian
	}
	var b bytes.Buffer
	m := dbus.Message{Type: l.kind, Flags: dbus.FlagNoReplyExpected, Headers: headers}
	if err := m.EncodeTo(&b, order); err != nil {
		t.Fatal(err)
	}
	message := append(b.Bytes(), l.body...)
	order.PutUint32(message[4:], uint32(len(l.body)))
	order.PutUint32(message[8:], p.serial)
	var rights []byte
	if l.descriptors > 0 {
		all := make([]int, l.descriptors) // Standard input, again and again.
		rights = unix.UnixRights(all...)
	}
	n, _, err := p.WriteMsgUnix(message, rights, nil)
	if err == nil && n < len(message) {
		_, err = p.Write(message[n:])
	}
	if err != nil {
		t.Fatal(err)
	}
}

// openFiles counts this process's open files.
func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatalf("count the open files: %v", err)
	}
	return len(all)
}

// nested returns a variant in a variant, that deep.
func nested(depth int) []byte {
	return append(bytes.Repeat([]byte{1, 'v', 0}, depth), 1, 'y', 0, 7)
}

// hostile returns bodies that the bus lets through.
func hostile() map[string]letter {
	index := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	return map[string]letter{
		"a descriptor": {signature: "h", body: index(0), descriptors: 1},
		"the last of sixteen": {signature: "h", body: index(15),
			descriptors: 16},
		"a descriptor that is not there": {signature: "h", body: index(7), descriptors: 1},
		"a descriptor in a variant": {signature: "v",
			body: append([]byte{1, 'h', 0, 0}, index(9)...), descriptors: 1},
		"a descriptor in an array": {signature: "ah",
			body: append(index(4), index(1<<31)...), descriptors: 2},
		"descriptors that nothing refers to":    {descriptors: 3},
		"no descriptor, and one is referred to": {signature: "h", body: index(3)},
		"variants within each other":            {signature: "v", body: nested(60)},
		"arrays within each other": {signature: strings.Repeat("a", 31) + "y",
			body: index(0)},
		"structures within each other": {signature: strings.Repeat("(", 32) + "y" +
			strings.Repeat(")", 32), body: []byte{1}},
		"a dictionary whose keys are no numbers": {signature: "a{dv}",
			body: append([]byte{12, 0, 0, 0, 0, 0, 0, 0}, 1, 0, 0, 0, 0, 0, 0xf8, 0x7f, 1, 'y', 0,
				1)},
		"a body of a megabyte": {signature: "s",
			body: append(append(index(1<<20), bytes.Repeat([]byte("x"), 1<<20)...), 0)},
		"the other byte order": {signature: "u", body: []byte{0, 0, 0, 7},
			big: true},
		"too few arguments": {},
		"no interface": {signature: "b", body: index(1),
			withoutInterface: true},
	}
}

// Whatever others send, the agent neither ends nor goes deaf, and keeps none of their file
// descriptors, whether they call logind or write to the agent itself.
func TestHostileMessages(t *testing.T) {
	// Not in parallel with other tests: our own open files are counted.
	socket := aBus(t)
	daemon, mallory := aPeer(t, socket), aPeer(t, socket)
	daemon.ask(t, "RequestName", "org.freedesktop.login1", uint32(0))
	go func() { _, _ = io.Copy(io.Discard, daemon) }()
	b, err := logind.Connect(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Deaf(); err != nil {
		t.Fatal(err)
	}
	names, files := agentNames(t, mallory, daemon), openFiles(t)
	for name, l := range hostile() {
		l.kind, l.to, l.member = dbus.TypeMethodCall, "org.freedesktop.login1", "PowerOff"
		mallory.send(t, l)
		if e := next(t, b); e.Kind != logind.Asked || e.Sender != mallory.name ||
			e.Call != mallory.serial || !e.NoReply {
			t.Fatalf("%s: heard %+v", name, e)
		}
		l.kind, l.member, l.withoutInterface = dbus.TypeSignal, "PrepareForShutdown", false
		for _, l.to = range names {
			mallory.send(t, l)
		}
		if pid, _, err := b.Process(t.Context(), mallory.name); err != nil ||
			int(pid) != os.Getpid() {
			t.Fatalf("%s: then the bus says that the caller is process %d, %v", name, pid, err)
		}
	}
	daemon.send(t, letter{kind: dbus.TypeSignal, to: names[0],
		member: "PrepareForShutdown", signature: "b", body: []byte{1, 0, 0, 0}})
	daemon.send(t, letter{kind: dbus.TypeMethodCall,
		to: "org.freedesktop.login1", member: "Reboot", signature: "b", body: []byte{1, 0, 0, 0}})
	for _, want := range []logind.Kind{logind.Begins, logind.Asked} {
		if e := next(t, b); e.Kind != want {
			t.Fatalf("then %+v, want %s", e, want)
		}
	}
	if now := openFiles(t); now != files {
		t.Errorf("there were %d open files, and now %d", files, now)
	}
}

// agentNames returns the names on the bus that are no peers': the bus counts.
func agentNames(t *testing.T, asks, other *peer) (names []string) {
	t.Helper()
	for n := range 16 {
		name := ":1." + strconv.Itoa(n)
		if owned, _ := asks.ask(t, "NameHasOwner", name).Bool(0); owned && name != asks.name &&
			name != other.name {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatal("the agent is not on the bus")
	}
	return names
}
