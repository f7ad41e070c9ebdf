package netconsole

import (
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/reason/kernel"
)

// A memory is shared by all senders. One lock is enough: a single goroutine hears them all, and
// other goroutines seldom use it.
type memory struct {
	sync.Mutex
	wire *wire.Memory
	// rules say what lines mean. They do not change.
	rules *kernel.Rules
}

func newMemory(rules *kernel.Rules) *memory { return &memory{wire: wire.NewMemory(), rules: rules} }

// A sender is a node that we accept datagrams from, and what it said lately.
type sender struct {
	name   string
	uid    types.UID
	memory *memory

	// The memory's lock guards the rest. bootID is the boot that the API says the node is in, and
	// token the secret of that boot.
	bootID string
	token  token
	boot   boot
	stream *wire.Stream
	said   kernel.History
}

// A heard is what is worth acting upon in a datagram.
type heard struct {
	// line is the kernel's own cause of its panic.
	line string
	// extended is set for the format that user space cannot forge.
	extended bool
	// trust is how far it is believed to be the node's own.
	trust trust
	// bootID is the boot that the node was in at that time.
	bootID string
	// trouble is what a line says about the machine; nil if there is nothing to tell.
	trouble *kernel.Finding
}

func newSender(node *corev1.Node, m *memory) *sender {
	return &sender{name: node.Name, uid: node.UID, memory: m}
}

// update records what the API says of the node.
func (s *sender) update(node *corev1.Node) {
	t := tokenOf(node)
	s.memory.Lock()
	defer s.memory.Unlock()
	s.token, s.bootID = t, node.Status.NodeInfo.BootID
}

// vouches reports whether the message carries the node's token.
func (s *sender) vouches(r *wire.Record) bool {
	s.memory.Lock()
	defer s.memory.Unlock()
	return s.token.judge(r) == tokenRight
}

// push handles a datagram.
func (s *sender) push(payload []byte, now time.Time) (o wire.Outcome, h heard) {
	s.memory.Lock()
	defer s.memory.Unlock()
	if s.stream == nil {
		s.stream = s.memory.wire.NewStream()
	}
	e := s.stream.Push(payload, now)
	switch {
	case e.Outcome == wire.OutcomePanic, e.Outcome == wire.OutcomePanicRest,
		e.Outcome == wire.OutcomeCandidate:
		h = s.panicked(&e, now)
	case e.Outcome == wire.OutcomeLine && e.Extended:
		// If the kernel signs its messages, an unsigned one must not move it to another boot.
		if a := s.token.judge(&e.Record); a == tokenRight || a == tokenUnknown {
			s.boot.follow(&e.Record, now)
		}
		h.trouble = s.trouble(&e, now)
	}
	return e.Outcome, h
}

// panicked weighs what speaks for and against a panic. The plain format has no token, and no
// numbers to compare. If the kernel has sent the plain format, the numbers of the extended one mean
// nothing: a plain line can be made to look like one.
func (s *sender) panicked(e *wire.Event, now time.Time) heard {
	h := heard{line: e.Line, extended: e.Extended, trust: trustUnsigned, bootID: s.bootID}
	if !e.Extended {
		return h
	}
	if task, cpu, ok := e.Record.Caller(); ok {
		h.line += fmt.Sprintf("; in task %s on CPU %d", task, cpu)
	}
	switch s.token.judge(&e.Record) {
	case tokenRight:
		h.trust = trustSigned
	case tokenWrong:
		h.trust = trustNone
	default:
		if !e.Mixed && !s.boot.fits(&e.Record, now) {
			h.trust = trustDoubtful
		}
	}
	return h
}

// vouchedFor reports whether a line may become evidence. It requires the token, as a panic does
// that is acted upon at once: a line without it may come from anybody who has the node's address,
// and no later silence could tell.
func (s *sender) vouchedFor(e *wire.Event) bool { return s.token.judge(&e.Record) == tokenRight }

// trouble returns what a line says about the machine, if that is to be told.
func (s *sender) trouble(e *wire.Event, now time.Time) *kernel.Finding {
	text := e.Record.Text()
	if !e.Record.FromKernel() || !s.memory.rules.Concern(text) || !s.vouchedFor(e) {
		return nil
	}
	f := s.said.Take(s.memory.rules, kernel.Line{Text: text, Subsystem: e.Record.Subsystem()},
		wire.Sentence, now)
	if f == nil || !f.Tell {
		return nil
	}
	return f
}

// reset forgets what the sender said, and what we concluded from it, after we panicked over it.
func (s *sender) reset() {
	s.memory.Lock()
	defer s.memory.Unlock()
	s.stream, s.boot, s.said = nil, boot{}, kernel.History{}
}

// release lets new lines push out those of a panic.
func (s *sender) release() {
	s.memory.Lock()
	defer s.memory.Unlock()
	if s.stream != nil {
		s.stream.Release()
	}
}

// untold marks a finding as not told, so that the next line of its kind is told.
func (s *sender) untold(f *kernel.Finding) {
	s.memory.Lock()
	defer s.memory.Unlock()
	s.said.Untold(f)
}

// maxLines is how many lines an obituary holds.
const maxLines = 256

// lines returns what the kernel said lately, made harmless.
func (s *sender) lines() []string {
	s.memory.Lock()
	defer s.memory.Unlock()
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
