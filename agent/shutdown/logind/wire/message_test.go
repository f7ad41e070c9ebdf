package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind/wire"
)

// encoded returns what another library sends.
func encoded(t testing.TB, order binary.ByteOrder, m dbus.Message) []byte {
	t.Helper()
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	var b bytes.Buffer
	if err := m.EncodeTo(&b, order); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// a call to logind, with such arguments.
func call(args ...any) dbus.Message {
	return dbus.Message{
		Type: dbus.TypeMethodCall, Flags: dbus.FlagNoReplyExpected,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/a/b")),
			dbus.FieldInterface: dbus.MakeVariant("a.B"), dbus.FieldMember: dbus.MakeVariant("Do"),
			dbus.FieldDestination: dbus.MakeVariant("a.b"),
			dbus.FieldSender:      dbus.MakeVariant(":1.7"),
		},
		Body: args,
	}
}

var orders = map[string]binary.ByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian}

func read(t *testing.T, data []byte) wire.Message {
	t.Helper()
	rest := bytes.NewReader(data)
	m, err := wire.Read(rest)
	if err != nil || rest.Len() != 0 {
		t.Fatalf("read: %v, and %d bytes are left", err, rest.Len())
	}
	return m
}

func TestFields(t *testing.T) {
	t.Parallel()
	for name, order := range orders {
		m := read(t, encoded(t, order, call()))
		if m.Type != wire.MethodCall || !m.NoReply || m.Path != "/a/b" || m.Interface != "a.B" ||
			m.Member != "Do" || m.Destination != "a.b" || m.Sender != ":1.7" {
			t.Errorf("%s: %+v", name, m)
		}
		m = read(t,
			encoded(t, order, dbus.Message{Type: dbus.TypeError,
				Headers: map[dbus.HeaderField]dbus.Variant{
					dbus.FieldErrorName:   dbus.MakeVariant("a.Error"),
					dbus.FieldReplySerial: dbus.MakeVariant(uint32(77)),
				}}))
		if m.Type != wire.Error || m.NoReply || m.ErrorName != "a.Error" || m.ReplySerial != 77 {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	nested := map[string][]dbus.Variant{"x": {dbus.MakeVariant(uint64(1)),
		dbus.MakeVariant([]string{"y"})}}
	metadata := map[string]dbus.Variant{"type": dbus.MakeVariant("reboot"),
		"more": dbus.MakeVariant(nested), "flags": dbus.MakeVariant(uint64(4)),
		"uid": dbus.MakeVariant(uint32(1000))}
	for name, order := range orders {
		m := read(t,
			encoded(t, order, call("halt", uint64(1<<40), true, uint32(9), metadata,
				dbus.MakeVariant("inside"), dbus.ObjectPath("/o"), byte(3), struct {
					A byte
					B int64
					C map[byte]string
				}{1, 2, nil}, "last")))
		text, ok := m.Text(0)
		number, ok1 := m.Uint64(1)
		truth, ok2 := m.Bool(2)
		small, ok3 := m.Uint32(3)
		what, ok4 := m.Entry(4, "type")
		inside, ok5 := m.Text(5)
		object, ok6 := m.Text(6)
		last, ok7 := m.Text(9)
		if !ok || !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || !ok7 {
			t.Errorf("%s: not all are there: %v %v %v %v %v %v %v %v", name, ok, ok1, ok2, ok3, ok4,
				ok5, ok6, ok7)
		}
		if text != "halt" || number != 1<<40 || !truth || small != 9 || what != "reboot" ||
			inside != "inside" || object != "/o" || last != "last" {
			t.Errorf("%s: %q %d %v %d %q %q %q %q", name, text, number, truth, small, what, inside,
				object, last)
		}
		if _, ok := m.Text(1); ok {
			t.Errorf("%s: a number is no text", name)
		}
		if _, ok := m.Text(10); ok {
			t.Errorf("%s: there is no eleventh argument", name)
		}
		if _, ok := m.Entry(4, "flags"); ok {
			t.Errorf("%s: an entry that is no string", name)
		}
		if uid, ok := m.EntryUint32(4, "uid"); !ok || uid != 1000 {
			t.Errorf("%s: UID %d, %v", name, uid, ok)
		}
		if _, ok := m.EntryUint32(4, "type"); ok {
			t.Errorf("%s: an entry that is no number", name)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	type user struct {
		UID  uint32
		Name string
		Path dbus.ObjectPath
	}
	for name, order := range orders {
		m := read(t,
			encoded(t, order,
				call("x", []user{{0, "root", "/u/_0"}, {1000, "alice", "/u/_1000"}},
					uint32(3))))
		if got, want := m.Names(1), map[uint32]string{0: "root", 1000: "alice"}; !maps.Equal(got,
			want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if got := m.Names(0); got != nil {
			t.Errorf("%s: of a text: %v", name, got)
		}
	}
}

// A message with an invalid body is one without arguments, and the next one is read.
func TestHostileBodies(t *testing.T) {
	t.Parallel()
	whole := encoded(t, binary.LittleEndian, call("halt", uint64(5)))
	start := len(whole) - 24 // The body: four bytes of length, "halt", a zero, padding, a number.
	tests := map[string]func([]byte){
		"a text longer than the body": func(b []byte) {
			binary.LittleEndian.PutUint32(b[start:], 1000)
		},
		"a text as long as can be": func(b []byte) {
			binary.LittleEndian.PutUint32(b[start:], 1<<32-1)
		},
		"a text that ends with no zero": func(b []byte) { b[start+8] = 'x' },
		"a text that is no UTF-8":       func(b []byte) { b[start+4] = 0xff },
		"another signature": func(b []byte) {
			copy(b[bytes.Index(b, []byte("st\x00")):], "a(")
		},
		"a type that there is not": func(b []byte) {
			copy(b[bytes.Index(b, []byte("st\x00")):], "?t")
		},
	}
	for name, spoil := range tests {
		spoiled := bytes.Clone(whole)
		spoil(spoiled)
		both := bytes.NewReader(append(spoiled, whole...))
		m, err := wire.Read(both)
		if _, ok := m.Text(0); err != nil || ok || m.Member != "Do" {
			t.Errorf("%s: %v, a text: %v, %+v", name, err, ok, m)
		}
		if _, ok := m.Uint64(1); ok {
			t.Errorf("%s: there is a second argument", name)
		}
		next, err := wire.Read(both)
		if text, _ := next.Text(0); err != nil || text != "halt" {
			t.Errorf("%s: then %v, %q", name, err, text)
		}
	}
}

// What is too large is skipped: the fields of a message with a large body are known.
func TestLarge(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", wire.MaxBodyBytes)
	m := read(t, encoded(t, binary.LittleEndian, call(large)))
	if _, ok := m.Text(0); ok || m.Member != "Do" {
		t.Errorf("a large body: %v, %+v", ok, m)
	}
	long := call()
	long.Headers[dbus.FieldPath] = dbus.MakeVariant(
		dbus.ObjectPath("/" + strings.Repeat("x", wire.MaxFieldsBytes)))
	if m := read(t, encoded(t, binary.LittleEndian, long)); m.Member != "" ||
		m.Type != wire.MethodCall {
		t.Errorf("large fields: %+v", m)
	}
}

func TestNonsense(t *testing.T) {
	t.Parallel()
	whole := encoded(t, binary.LittleEndian, call("halt"))
	for name, spoil := range map[string]func([]byte){
		"another byte order": func(b []byte) { b[0] = 'x' },
		"a body beyond any limit": func(b []byte) {
			binary.LittleEndian.PutUint32(b[4:], 1<<32-1)
		},
		"fields beyond any limit": func(b []byte) {
			binary.LittleEndian.PutUint32(b[12:], 1<<32-1)
		},
		"together beyond the limit": func(b []byte) {
			binary.LittleEndian.PutUint32(b[4:], maxMessage)
		},
	} {
		spoiled := bytes.Clone(whole)
		spoil(spoiled)
		if _, err := wire.Read(bytes.NewReader(spoiled)); !errors.Is(err, wire.ErrNonsense) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range whole {
		if _, err := wire.Read(bytes.NewReader(whole[:n])); !errors.Is(err, io.EOF) &&
			!errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of it: %v", n, err)
		}
	}
}

const maxMessage = 128 << 20

// Another library reads what we send, and so do we.
func TestCall(t *testing.T) {
	t.Parallel()
	sent, err := wire.Call{
		Serial: 7, Destination: "a.b", Path: "/a", Interface: "a.B", Member: "Do",
		Args: []any{"x", []string{"one", "three"}, uint32(3), []string(nil), "yz"},
	}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := dbus.DecodeMessage(bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	if theirs.Serial() != 7 || theirs.Headers[dbus.FieldMember].Value() != "Do" ||
		len(theirs.Body) != 5 || theirs.Body[4] != "yz" || theirs.Body[2] != uint32(3) {
		t.Errorf("they read %v", theirs)
	}
	if all, ok := theirs.Body[1].([]string); !ok || len(all) != 2 || all[1] != "three" {
		t.Errorf("they read %v", theirs.Body)
	}
	ours := read(t, sent)
	if last, ok := ours.Text(4); !ok || last != "yz" || ours.Serial != 7 {
		t.Errorf("we read %q, %v, %+v", last, ok, ours)
	}
	if _, err := (wire.Call{Member: "Do", Args: []any{1.5}}).Bytes(); err == nil {
		t.Error("a number of a type that nobody asked for is sent")
	}
}

// FuzzRead reads whatever comes, and asks for every argument.
func FuzzRead(f *testing.F) {
	metadata := map[string]dbus.Variant{"type": dbus.MakeVariant("halt"),
		"x": dbus.MakeVariant([][]byte{{1}, {2}})}
	for _, order := range orders {
		f.Add(encoded(f, order, call(true, metadata)))
		f.Add(
			encoded(f, order, call("halt", uint64(1), uint32(2), []map[string]string{{"a": "b"}})))
	}
	f.Add(encoded(f, binary.LittleEndian, call([]struct {
		UID  uint32
		Name string
	}{{1, "a"}, {2, "b"}})))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			m, err := wire.Read(r)
			if err != nil {
				return
			}
			for n := range 4 {
				text, _ := m.Text(n)
				entry, _ := m.Entry(n, "type")
				_, _ = m.EntryUint32(n, "type")
				_ = m.Names(n)
				_, _ = m.Uint32(n)
				_, _ = m.Uint64(n)
				_, _ = m.Bool(n)
				if len(text) > wire.MaxBodyBytes || len(entry) > wire.MaxBodyBytes {
					t.Errorf("an argument of %d and %d bytes", len(text), len(entry))
				}
			}
		}
	})
}

// FuzzAgainstReference compares what is read of a well-formed message with what another library
// reads.
func FuzzAgainstReference(f *testing.F) {
	f.Add("halt", uint64(1), true, uint32(3), "type", "reboot", false)
	f.Fuzz(func(t *testing.T, a string, b uint64, c bool, d uint32, key, value string, big bool) {
		body := []any{a, b, c, d, map[string]dbus.Variant{key: dbus.MakeVariant(value),
			key + "x": dbus.MakeVariant(b)}}
		m := call(body...)
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
		order := binary.ByteOrder(binary.LittleEndian)
		if big {
			order = binary.BigEndian
		}
		var sent bytes.Buffer
		if err := m.EncodeTo(&sent, order); err != nil {
			return // That library sends no such text.
		}
		if sent.Len() > wire.MaxBodyBytes {
			return
		}
		theirs, err := dbus.DecodeMessage(bytes.NewReader(sent.Bytes()))
		ours, errOurs := wire.Read(bytes.NewReader(sent.Bytes()))
		if err != nil || errOurs != nil {
			t.Fatalf("they: %v, we: %v", err, errOurs)
		}
		text, ok := ours.Text(0)
		number, _ := ours.Uint64(1)
		truth, _ := ours.Bool(2)
		small, _ := ours.Uint32(3)
		entry, _ := ours.Entry(4, key)
		if !ok || text != theirs.Body[0] || number != b || truth != c || small != d ||
			entry != value {
			t.Errorf("we read %q %d %v %d %q of %v", text, number, truth, small, entry, theirs.Body)
		}
	})
}
