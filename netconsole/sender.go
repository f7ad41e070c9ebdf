package netconsole

import (
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A sender is a node that may speak to us, and what it said lately. Its stream takes memory with the first datagram: for
// 5,000 nodes at most 5,000 times wire.MaxStreamBytes (22 KiB), and a third of that as long as nobody sends fragments.
type sender struct {
	name string
	uid  types.UID

	mu     sync.Mutex
	stream *wire.Stream
}

func newSender(name string, uid types.UID) *sender { return &sender{name: name, uid: uid} }

// push takes a datagram and returns what it is and, of a panic, what the kernel says that it panics of.
func (s *sender) push(payload []byte, now time.Time) (wire.Outcome, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == nil {
		s.stream = &wire.Stream{}
	}
	e := s.stream.Push(payload, now)
	return e.Outcome, e.Line
}

// text is what the kernel said lately, made harmless line by line.
func (s *sender) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == nil {
		return ""
	}
	var b strings.Builder
	for _, line := range s.stream.Lines() {
		b.WriteString(string(reason.Clean(line)))
		b.WriteByte('\n')
	}
	return b.String()
}
