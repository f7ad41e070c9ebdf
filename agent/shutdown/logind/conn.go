package logind

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind/wire"
)

// A conn is an authenticated connection to the bus.
type conn struct {
	socket *net.UnixConn
	// in is where messages are read from: the socket, by read(2), so that the kernel closes file
	// descriptors that others attach.
	in io.Reader
	// name is what the bus calls us.
	name   string
	serial uint32
}

// dial gives up on a bus that accepts the connection and then says nothing. The connection outlives
// the context. whence wraps what is read, if it is not nil.
func dial(ctx context.Context, socket string, whence func(*net.UnixConn) io.Reader) (*conn, error) {
	s, err := (&net.Dialer{Timeout: callTimeout}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	c := &conn{socket: s.(*net.UnixConn), in: s}
	if whence != nil {
		c.in = whence(c.socket)
	}
	return c, c.within(ctx, c.enter)
}

// within does something with the connection, and closes it if that fails or takes too long.
func (c *conn) within(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, c.close)
	err := do()
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		c.close()
	}
	return err
}

func (c *conn) close() { _ = c.socket.Close() } // It is gone either way.

// enter authenticates by the credentials that the kernel gives the bus, and gets a name. It
// negotiates file descriptors, though most connections' readers take none: a bus withholds messages
// that have some from a monitor that did not.
func (c *conn) enter() error {
	if _, err := c.socket.Write([]byte{0}); err != nil {
		return err
	}
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	if said, err := c.command("AUTH EXTERNAL " + uid); err != nil ||
		!strings.HasPrefix(said, "OK ") {
		return fmt.Errorf("authenticate: the bus says %q: %w", said, errors.Join(errRefused, err))
	}
	if _, err := c.command("NEGOTIATE_UNIX_FD"); err != nil {
		return err
	}
	if _, err := io.WriteString(c.socket, "BEGIN\r\n"); err != nil {
		return err
	}
	m, err := c.ask(daemon, daemonPath, daemon+".Hello")
	if err == nil {
		c.name, _ = m.Text(0)
	}
	return err
}

var errRefused = errors.New("refused")

// maxLine bounds an answer to a command.
const maxLine = 1 << 10

// command sends a line of the authentication protocol, and reads the answer.
func (c *conn) command(words string) (said string, err error) {
	if _, err := io.WriteString(c.socket, words+"\r\n"); err != nil {
		return "", err
	}
	var line []byte
	for next := make([]byte, 1); len(line) < maxLine; line = append(line, next[0]) {
		if before, ok := bytes.CutSuffix(line, []byte("\r\n")); ok {
			return string(before), nil
		}
		if _, err := io.ReadFull(c.in, next); err != nil {
			return "", err
		}
	}
	return "", wire.ErrNonsense
}

// send calls a method, given with its interface, and returns the serial number of the call.
func (c *conn) send(to, object, method string, args ...any) (serial uint32, err error) {
	c.serial++
	dot := strings.LastIndexByte(method, '.')
	call := wire.Call{Serial: c.serial, Destination: to, Path: object, Interface: method[:dot],
		Member: method[dot+1:], Args: args}
	message, err := call.Bytes()
	if err != nil {
		return 0, err
	}
	_, err = c.socket.Write(message)
	return c.serial, err
}

// ask calls a method and waits for the answer. It discards whatever else arrives meanwhile.
func (c *conn) ask(to, object, method string, args ...any) (wire.Message, error) {
	serial, err := c.send(to, object, method, args...)
	if err != nil {
		return wire.Message{}, err
	}
	for {
		m, err := wire.Read(c.in)
		if err != nil {
			return m, err
		}
		if answers(m, serial) {
			return m, refusal(m)
		}
	}
}

// answers reports whether a message is the answer to our call of that number. The bus lets nobody
// answer a call that was not made to them.
func answers(m wire.Message, serial uint32) bool {
	return (m.Type == wire.MethodReturn || m.Type == wire.Error) && m.ReplySerial == serial
}

func refusal(m wire.Message) error {
	if m.Type != wire.Error {
		return nil
	}
	text, _ := m.Text(0)
	return fmt.Errorf("%s: %s", m.ErrorName, text)
}
