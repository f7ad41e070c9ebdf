package wire

// White-box: the memory that a stream keeps can only be counted from the inside.

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// kept returns how many bytes a stream keeps, itself included.
func kept(s *Stream) int {
	bytes := int(unsafe.Sizeof(*s))
	if s.ring.lease.slot != nil {
		bytes += int(unsafe.Sizeof(slot[ringBytes]{}))
	}
	for _, m := range s.fragments.messages {
		bytes += len(m.head.Release) + len(m.head.Body)
	}
	if s.fragments.lease.slot != nil {
		bytes += int(unsafe.Sizeof(slot[desk]{}))
	}
	return bytes
}

func TestStreamIsBounded(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var s Stream
	now, most := time.Unix(1_800_000_000, 0), 0
	for n := range 50_000 {
		total := 1 + random.IntN(5_000)
		body := strings.Repeat("x", 1+random.IntN(min(total, 900)))
		offset := random.IntN(total - len(body) + 1)
		d := fmt.Sprintf("%d,%d,9,-,ncfrag=%d/%d;%s", random.IntN(9), random.IntN(n+1), offset,
			total, body)
		if n%3 == 0 {
			d = fmt.Sprintf("6,%d,9,-;%s\n", n, body)
		}
		s.Push([]byte(d), now)
		most = max(most, kept(&s))
		now = now.Add(time.Duration(random.IntN(100)) * time.Millisecond)
	}
	if most > MaxStreamBytes {
		t.Errorf("the stream kept %d bytes, MaxStreamBytes is %d", most, MaxStreamBytes)
	}
	if most < RingBytes+maxMessageBytes/2 {
		t.Errorf("the stream kept %d bytes at most: the flood did not reach its fragments", most)
	}
	s.Push([]byte("6,1,9,-;x\n"), now.Add(2*fragmentLife))
	if got, want := kept(&s), int(unsafe.Sizeof(s)+unsafe.Sizeof(slot[ringBytes]{})); got != want {
		t.Errorf("%d bytes are kept after all fragments expired, want %d", got, want)
	}
}

// What the runtime really holds for 5,000 senders that each have said something and have a message
// pending.
func TestMemoryOfFiveThousandSendersIsBounded(t *testing.T) {
	const senders, documented = 5_000, 14_000_000
	before := heap()
	memory, now := NewMemory(), time.Unix(1_800_000_000, 0)
	streams := make([]*Stream, senders)
	for n := range streams {
		streams[n] = memory.NewStream()
		streams[n].Push([]byte("6,1,9,-;a line\n"), now)
		for seq := range 4 {
			streams[n].Push(fmt.Appendf(nil, "6,%d,9,-,ncfrag=0/%d;x", seq, maxMessageBytes), now)
		}
	}
	held := heap() - before
	if held > documented || MaxMemoryBytes+senders*int(unsafe.Sizeof(Stream{})) > documented {
		t.Errorf(
			"%d senders hold %d bytes, MaxMemoryBytes is %d: want %d at most, as it is documented",
			senders, held, MaxMemoryBytes, documented)
	}
	if held < uint64(MaxMemoryBytes) {
		t.Errorf("%d senders hold %d bytes: they did not fill the memory of %d bytes", senders,
			held, MaxMemoryBytes)
	}
	runtime.KeepAlive(streams)
}

// heap returns the bytes that are reachable.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestSilentStreamKeepsNothing(t *testing.T) {
	t.Parallel()
	var s Stream
	for _, d := range []string{"", "\n", "6,1,2,-,ncfrag=0/9000;x", strings.Repeat("x", 1001)} {
		s.Push([]byte(d), time.Unix(1_800_000_000, 0))
	}
	if got := kept(&s); got != int(unsafe.Sizeof(s)) {
		t.Errorf("%d bytes are kept of datagrams that say nothing", got)
	}
}
