package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A Type is the kind of a message.
type Type uint8

// The types.
const (
	_ Type = iota
	MethodCall
	MethodReturn
	Error
	Signal
)

// A Message holds what is known of one. A field that is absent or invalid is empty.
type Message struct {
	Type Type
	// NoReply says that the sender wants no answer.
	NoReply             bool
	Serial, ReplySerial uint32

	Path, Interface, Member, ErrorName, Destination, Sender string

	signature string
	order     binary.ByteOrder
	body      []byte
}

const (
	// MaxFieldsBytes is how much of the header fields is held. The longest name has 255 bytes.
	MaxFieldsBytes = 8 << 10
	// MaxBodyBytes is how much of a body is held. The arguments that we need are short.
	MaxBodyBytes = 8 << 10
	// maxArrayBytes and maxMessageBytes are D-Bus's own limits: a peer that exceeds them does not
	// speak D-Bus.
	maxArrayBytes   = 64 << 20
	maxMessageBytes = 128 << 20
)

const (
	fixedBytes    = 16
	noReplyWanted = 1
)

// ErrNonsense says that the other end does not speak D-Bus: the start of the next message is not
// known.
var ErrNonsense = errors.New("this is not D-Bus")

// Read reads one message, and not a byte more.
func Read(r io.Reader) (m Message, err error) {
	var fixed [fixedBytes]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return m, err
	}
	if m.order, err = orderOf(fixed[0]); err != nil {
		return m, err
	}
	m.Type, m.NoReply, m.Serial = Type(fixed[1]), fixed[2]&noReplyWanted != 0,
		m.order.Uint32(fixed[8:])
	bodyBytes, fieldBytes := int64(m.order.Uint32(fixed[4:])), int64(m.order.Uint32(fixed[12:]))
	padded := (fieldBytes + 7) &^ 7
	if fieldBytes > maxArrayBytes || fixedBytes+padded+bodyBytes > maxMessageBytes {
		return m, fmt.Errorf("%w: a message of %d bytes", ErrNonsense, fixedBytes+padded+bodyBytes)
	}
	fields, err := hold(r, padded, MaxFieldsBytes)
	if err != nil {
		return m, err
	}
	if m.body, err = hold(r, bodyBytes, MaxBodyBytes); err != nil {
		return m, err
	}
	if fields != nil {
		m.readFields(fields[:fieldBytes])
	}
	return m, nil
}

func orderOf(mark byte) (binary.ByteOrder, error) {
	switch mark {
	case 'l':
		return binary.LittleEndian, nil
	case 'B':
		return binary.BigEndian, nil
	default:
		return nil, fmt.Errorf("%w: byte order %#x", ErrNonsense, mark)
	}
}

// hold reads that many bytes, or skips them if there are more than most.
func hold(r io.Reader, length, most int64) ([]byte, error) {
	if length > most {
		_, err := io.CopyN(io.Discard, r, length)
		return nil, err
	}
	held := make([]byte, length)
	_, err := io.ReadFull(r, held)
	return held, err
}

// readFields reads the array of fields, each a code and a variant, which begins at a multiple of
// eight.
func (m *Message) readFields(fields []byte) {
	for c := (cursor{order: m.order, data: fields}); c.more(); {
		c.align(8)
		code := c.byte()
		kind := c.signature()
		if !m.setField(code, kind, &c) {
			c.skipAll(kind)
		}
	}
}

// The codes of the header fields.
const (
	_ byte = iota
	fieldPath
	fieldInterface
	fieldMember
	fieldErrorName
	fieldReplySerial
	fieldDestination
	fieldSender
	fieldSignature
)

// setField reads a field that it knows; it returns false for any other.
func (m *Message) setField(code byte, kind string, c *cursor) bool {
	switch text := m.textField(code); {
	case text != nil && (kind == "s" && code != fieldPath || kind == "o" && code == fieldPath):
		*text = c.text()
	case code == fieldReplySerial && kind == "u":
		m.ReplySerial = c.uint32()
	case code == fieldSignature && kind == "g":
		m.signature = c.signature()
	default:
		return false
	}
	return true
}

func (m *Message) textField(code byte) *string {
	switch code {
	case fieldPath:
		return &m.Path
	case fieldInterface:
		return &m.Interface
	case fieldMember:
		return &m.Member
	case fieldErrorName:
		return &m.ErrorName
	case fieldDestination:
		return &m.Destination
	case fieldSender:
		return &m.Sender
	default:
		return nil
	}
}
