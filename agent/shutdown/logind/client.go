package logind

import (
	"context"
	"errors"
	"sync"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind/wire"
)

// A client makes calls, several at once if need be. It reads all the time, since others may send it
// messages that nobody asked for.
type client struct {
	*conn
	mu      sync.Mutex
	waiting map[uint32]chan wire.Message
	// ended is closed when nothing is read any more.
	ended chan struct{}
}

var errHungUp = errors.New("the bus closed the connection")

func newClient(c *conn) *client {
	l := &client{conn: c, waiting: map[uint32]chan wire.Message{}, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		l.read()
	}()
	return l
}

// leave closes the connection, and returns when nothing reads from it any more.
func (l *client) leave() {
	l.close()
	<-l.ended
}

func (l *client) read() {
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

// begin sends a call, and registers the answer's receiver.
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

// call makes a call and waits for the answer, at most for callTimeout.
func (l *client) call(ctx context.Context, to, object, method string,
	args ...any) (wire.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return wire.Message{}, err
	}
	// Close the connection to a bus that no longer reads.
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
