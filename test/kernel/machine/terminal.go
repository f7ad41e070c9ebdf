//go:build linux

package machine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// A Terminal is a serial line at which somebody is logged in.
type Terminal struct {
	conn net.Conn
	mu   sync.Mutex
	said strings.Builder
}

// OpenTerminal waits for one of the machine's Terminals, which QEMU makes when it starts.
func OpenTerminal(ctx context.Context, socket string) (*Terminal, error) {
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			x := &Terminal{conn: conn}
			go x.listen()
			return x, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a terminal: %w", err)
		case <-time.After(poll):
		}
	}
}

func (x *Terminal) listen() {
	for in := bufio.NewReader(x.conn); ; {
		b, err := in.ReadByte()
		if err != nil {
			return
		}
		x.mu.Lock()
		x.said.WriteByte(b)
		x.mu.Unlock()
	}
}

// Seen is all that was to be seen there.
func (x *Terminal) Seen() string {
	if x == nil {
		return ""
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.said.String()
}

// Sees waits until the words have been seen so many times.
func (x *Terminal) Sees(ctx context.Context, words string, times int) error {
	for strings.Count(x.Seen(), words) < times {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %q at a terminal: %w: %q", words, ctx.Err(), x.Seen())
		case <-time.After(poll):
		}
	}
	return nil
}

// Type types a line.
func (x *Terminal) Type(command string) error {
	if _, err := io.WriteString(x.conn, command+"\n"); err != nil {
		return fmt.Errorf("type at a terminal: %w", err)
	}
	return nil
}

// Close leaves the terminal.
func (x *Terminal) Close() { _ = x.conn.Close() }
