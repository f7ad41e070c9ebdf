package httpsserver

import (
	"net"
	"sync"
)

// A limited listener closes connections beyond its limit at once, instead of letting them wait.
type limited struct {
	net.Listener
	max int

	mu   sync.Mutex
	open int
	by   map[string]int
}

func limit(l net.Listener, connections int) *limited {
	return &limited{Listener: l, max: connections, by: map[string]int{}}
}

// Accept returns the next connection within the limits.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host := hostOf(c.RemoteAddr().String())
		if l.admit(host) {
			return &counted{Conn: c, gone: sync.OnceFunc(func() { l.leave(host) })}, nil
		}
		_ = c.Close()
	}
}

func (l *limited) admit(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.max || l.by[host] >= l.max/2 {
		return false
	}
	l.open++
	l.by[host]++
	return true
}

func (l *limited) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.by[host]--; l.by[host] == 0 {
		delete(l.by, host)
	}
}

// A counted connection frees its place when it is closed.
type counted struct {
	net.Conn
	gone func()
}

func (c *counted) Close() error {
	c.gone()
	return c.Conn.Close()
}
