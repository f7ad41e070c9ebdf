package netconsole

import (
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

// maxLines is how many lines an obituary holds.
const maxLines = 256

// lines are what the kernel said lately, made harmless.
func (s *sender) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == nil {
		return nil
	}
	all := s.stream.Lines()
	all = all[max(0, len(all)-maxLines):]
	for n, line := range all {
		all[n] = string(reason.Clean(line))
	}
	return all
}
