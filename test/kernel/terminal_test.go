//go:build linux

package kernel

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A terminal is a serial line at which somebody is logged in.
type terminal struct {
	conn net.Conn
	mu   sync.Mutex
	said strings.Builder
}

func openTerminal(t *testing.T, socket string) *terminal {
	t.Helper()
	var conn net.Conn
	var err error
	// QEMU makes it when it starts.
	for range 100 {
		if conn, err = net.Dial("unix", socket); err == nil {
			break
		}
		time.Sleep(poll)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	x := &terminal{conn: conn}
	go func() {
		for in := bufio.NewReader(conn); ; {
			b, err := in.ReadByte()
			if err != nil {
				return
			}
			x.mu.Lock()
			x.said.WriteByte(b)
			x.mu.Unlock()
		}
	}()
	return x
}

func (x *terminal) seen() string {
	if x == nil {
		return ""
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.said.String()
}

func (x *terminal) sees(t *testing.T, words string) {
	t.Helper()
	for deadline := time.Now().Add(agentPatience); !strings.Contains(x.seen(),
		words); time.Sleep(poll) {
		if time.Now().After(deadline) {
			t.Fatalf("wait for %q at the terminal: %q", words, x.seen())
		}
	}
}

func (x *terminal) types(t *testing.T, command string) {
	t.Helper()
	if _, err := io.WriteString(x.conn, command+"\n"); err != nil {
		t.Fatal(err)
	}
}
