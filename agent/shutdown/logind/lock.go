package logind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Delay makes each shutdown wait until the lock is closed, at most for as long as MaxDelay says.
// The lock is a file descriptor, so it comes by a connection of its own, the only one that accepts
// any. Closing that connection does not release the lock.
func (b *Bus) Delay(ctx context.Context, who, why string) (io.Closer, error) {
	lock, err := b.inhibit(ctx, "shutdown", who, why, "delay")
	if err != nil {
		return nil, fmt.Errorf("take a delay lock from logind: %w", err)
	}
	return lock, nil
}

func (b *Bus) inhibit(ctx context.Context, args ...any) (*os.File, error) {
	in := &taker{}
	defer in.drop()
	c, err := dial(ctx, b.path, func(s *net.UnixConn) io.Reader {
		in.socket = s
		return in
	})
	if err != nil {
		return nil, err
	}
	defer c.close()
	err = c.within(ctx, func() error {
		_, err := c.ask(name, path, manager+".Inhibit", args...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return in.last()
}

// A taker reads, and keeps the file descriptor that came last. A message's own descriptor comes
// with its first byte, so one that came before the answer is no longer wanted.
type taker struct {
	socket *net.UnixConn
	file   *os.File
}

func (t *taker) Read(p []byte) (int, error) {
	// There is room for one: the kernel closes any others.
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := t.socket.ReadMsgUnix(p, oob)
	if oobn > 0 {
		t.keep(oob[:oobn])
	}
	return n, err
}

func (t *taker) keep(oob []byte) {
	t.drop()
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for n := range all {
		fds, err := unix.ParseUnixRights(&all[n])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			t.drop()
			t.file = os.NewFile(uintptr(fd), "logind's delay lock")
		}
	}
}

func (t *taker) drop() {
	if t.file != nil {
		_ = t.file.Close() // It was somebody else's.
		t.file = nil
	}
}

// last returns the file descriptor that came with the message read last.
func (t *taker) last() (*os.File, error) {
	file := t.file
	t.file = nil
	if file == nil {
		return nil, errors.New("the answer has none")
	}
	return file, nil
}
