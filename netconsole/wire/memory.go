package wire

import "unsafe"

const (
	// maxRings is for how many senders the last lines are kept. The lines that matter for a panic
	// come in the second before it; 1,024 other senders would have to speak in between for them to
	// be lost.
	maxRings = 1024
	// maxDesks is for how many senders messages are reassembled at once. A sender needs its desk
	// until a second after its last fragment.
	maxDesks = 512
)

// MaxMemoryBytes bounds what a Memory takes, whatever comes from however many senders: 8.1 MiB.
const MaxMemoryBytes = maxRings*int(unsafe.Sizeof(slot[ringBytes]{})) +
	maxDesks*int(unsafe.Sizeof(slot[desk]{}))

// A Memory is where the streams of many senders keep their lines and reassemble messages. It grows
// as needed. At its bound, a sender who speaks takes over what has not been used for a while.
// Whoever can send in the name of more nodes than it has room for can make the words around a panic
// be lost, but never the panic: that is reported from the datagram itself. Streams that share a
// Memory are not safe for concurrent use.
type Memory struct {
	rings pool[ringBytes]
	desks pool[desk]
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{pool[ringBytes]{size: maxRings}, pool[desk]{size: maxDesks}}
}

// NewStream returns a stream that uses this memory.
func (m *Memory) NewStream() *Stream {
	return &Stream{ring: Ring{pool: &m.rings}, fragments: reassembler{pool: &m.desks}}
}
