package wire

import "unsafe"

const (
	// maxRings is how many senders' last lines are kept. What a panic must be told with was said in
	// the second before it; 1,024 senders would have to speak in between for it to be lost.
	maxRings = 1024
	// maxDesks is at how many senders' messages work goes on at once. Each is there for a second at
	// most.
	maxDesks = 512
)

// MaxMemoryBytes bounds what a Memory takes, whatever comes from however many senders: 8.1 MiB.
const MaxMemoryBytes = maxRings*int(unsafe.Sizeof(slot[ringBytes]{})) +
	maxDesks*int(unsafe.Sizeof(slot[desk]{}))

// A Memory is where the streams of many senders keep their lines and put messages together. It is
// taken as it is needed; beyond its bound, what was not used for longest goes to those who speak
// now. Whoever can send in the name of more nodes than it has room for can make the words around a
// panic be lost, never the panic: that is reported from the datagram itself. Streams that share a
// Memory are not safe for concurrent use.
type Memory struct {
	rings pool[ringBytes]
	desks pool[desk]
}

// NewMemory returns an empty one.
func NewMemory() *Memory {
	return &Memory{pool[ringBytes]{size: maxRings}, pool[desk]{size: maxDesks}}
}

// NewStream returns a stream that keeps what it keeps there.
func (m *Memory) NewStream() *Stream {
	return &Stream{ring: Ring{pool: &m.rings}, fragments: reassembler{pool: &m.desks}}
}
