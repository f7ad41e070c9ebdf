package wire_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

// numbered returns datagrams of the extended format with successive numbers, so that none is a
// duplicate of the one before.
func numbered(n int, format string) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = fmt.Appendf(nil, format, 1_000_000+i, 5_000_000+i)
	}
	return all
}

func repeated(d string) [][]byte { return [][]byte{[]byte(d)} }

const filler = "a line of some sixty bytes, as they are seen most of the time"

// uninteresting are the datagrams that a listener is flooded with. They cost no allocation.
var uninteresting = map[string][][]byte{
	"extended":    numbered(4096, "6,%d,%d,-,caller=T1;"+filler+"\n nodename=n1\n"),
	"userspace":   numbered(4096, "14,%d,%d,-;Kernel panic - not syncing: "+filler+"\n"),
	"release":     numbered(4096, "6.12.117+deb13-cloud-amd64,6,%d,%d,-;"+filler+"\n"),
	"plain":       repeated("[    4.758329] " + filler + "\n"),
	"duplicate":   repeated("6,1,2,-;" + filler + "\n"),
	"seen panic":  repeated("0,1,2,-;Kernel panic - not syncing: " + filler + "\n"),
	"too long":    repeated(fmt.Sprintf("6,1,2,-;%01000d\n", 0)),
	"malformed":   repeated("\n"),
	"stray piece": repeated("6,1,2,-,ncfrag=0/9000;" + filler),
}

func TestPushAllocatesNothing(t *testing.T) { // not parallel: AllocsPerRun counts the whole process
	for name, datagrams := range uninteresting {
		t.Run(name, func(t *testing.T) {
			var s wire.Stream
			s.Push([]byte("6,0,1,-;the first line takes the ring's memory\n"), noon)
			s.Push(datagrams[0], noon)
			n := 0
			if got := testing.AllocsPerRun(2000, func() {
				s.Push(datagrams[n%len(datagrams)], noon.Add(time.Duration(n)))
				n++
			}); got != 0 {
				t.Errorf("%v allocations for a datagram", got)
			}
		})
	}
}

func BenchmarkPush(b *testing.B) {
	bench := func(name string, datagrams [][]byte) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(datagrams[0])))
			var s wire.Stream
			n := 0
			for b.Loop() {
				s.Push(datagrams[n%len(datagrams)], noon)
				n++
			}
		})
	}
	for name, datagrams := range uninteresting {
		bench(name, datagrams)
	}
	bench("interesting/panic", numbered(4096,
		"0,%d,%d,-;Kernel panic - not syncing: Fatal exception\n nodename=n1\n"))
	bench("interesting/candidate",
		repeated("[    4.758329] Kernel panic - not syncing: Fatal exception\n"))
	pieces := numbered(4096, "6,%d,%d,-,ncfrag=0/100;"+filler)
	for i := 1; i < len(pieces); i += 2 {
		pieces[i] = fmt.Appendf(nil, "6,%d,%d,-,ncfrag=61/100;%039d", 1_000_000+i-1, 5_000_000+i-1,
			0)
	}
	bench("interesting/fragments", pieces)
}
