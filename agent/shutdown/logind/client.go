package logind

import (
	"context"
	"errors"
	"sync"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind/wire"
)

// A client asks, and may ask several things at once. It reads all the time, since others may send
// it messages that nobody wanted.
type client struct {
	*conn
	mu      sync.Mutex
	waiting map[uint32]chan wire.Message
	// ended is closed when nothing is read any more.
	ended chan struct{}
}

var errHungUp = errors.New("the bus hung up")

func newClient(c *conn) *client {
	l := &client{conn: c, waiting: map[uint32]chan wire.Message{}, ended: make(chan struct{})}
	go l.read()
	return l
}

func (l *client) read() {
	defer close(l.ended)
	for {
		m, err := wire.Read(l.in)
		if err != nil {
			return
		}
		l.mu.Lock()
		answer := l.waiting[m.ReplySerial]
		if answer != nil && answers(m, m.ReplySerial) {
			delete(l.waiting, m.ReplySerial)
			answer <- m
		}
		l.mu.Unlock()
	}
}

// begin sends a call, and notes that somebody waits for the answer.
func (l *client) begin(to, object, method string,
	args ...any) (serial uint32, answer chan wire.Message, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if serial, err = l.send(to, object, method, args...); err != nil {
		return 0, nil, err
	}
	answer = make(chan wire.Message, 1)
	l.waiting[serial] = answer
	return serial, answer, nil
}

// call asks, and waits for the answer, at most for callTimeout.
func (l *client) call(ctx context.Context, to, object, method string,
	args ...any) (wire.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return wire.Message{}, err
	}
	// A bus that takes nothing any more is left.
	stop := context.AfterFunc(ctx, l.close)
	serial, answer, err := l.begin(to, object, method, args...)
	stop()
	if err != nil {
		return wire.Message{}, err
	}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiting, serial)
	}()
	select {
	case m := <-answer:
		return m, refusal(m)
	case <-ctx.Done():
		return wire.Message{}, ctx.Err()
	case <-l.ended:
		return wire.Message{}, errHungUp
	}
}
